//! The HTTP client of one signal: a connection to the receiver that is kept, and one request at a time.
//!
//! HTTP/1.1 by `hyper`, over TCP or TLS. A connection that the receiver has closed meanwhile is replaced once, without a word.
//!
//! Not here: what is sent, and what is done about a failure (`exporter`).

use super::figures::Signal;
use crate::catalog::BackendHost;
use crate::config::OtlpConfig;
use crate::config::otlp::{HeaderValue, is_header_value};
use crate::process::files::{read_small, reason};
use crate::tls::backend::{SystemAuthorities, TlsBackend, server_name};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Most bytes of an answer that are read. What a receiver says beyond is of no use, and its connection is given up.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Most bytes of an answer that are shown as the reason of a fault.
const SHOWN_BYTES_MAX: usize = 200;

/// Largest file with the value of a header field, in bytes.
const HEADER_FILE_BYTES_MAX: u64 = 16 * 1024;

/// The media type of requests and of answers that are understood.
const PROTOBUF: &str = "application/x-protobuf";

/// The answer to a request.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Seconds after which the request may be repeated.
    pub(super) retry_after: Option<Duration>,
    /// The message in it; empty if it is of another kind.
    pub(super) message: Bytes,
    /// The beginning of what it says, on one line.
    pub(super) shown: String,
}

/// The client of one signal.
#[derive(Debug)]
pub(super) struct Client {
    config: OtlpConfig,
    /// That of the instance file.
    folder: PathBuf,
    target: String,
    tls: Option<TlsBackend>,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    pub(super) fn new(config: OtlpConfig, folder: PathBuf, signal: Signal) -> Self {
        let target = config.endpoint.path_with(signal.path());
        Self { config, folder, target, tls: None, connection: None }
    }

    /// Sends a request.
    ///
    /// # Errors
    /// Why there is no answer, and what to do about it.
    pub(super) async fn post(&mut self, message: Vec<u8>) -> Result<Answer, String> {
        let request = self.request(message)?;
        let within = Duration::from_millis(self.config.timeout_ms);
        match timeout(within, self.exchange(request)).await {
            Ok(answer) => answer,
            Err(_) => {
                // Its answer may come later, and must not be taken for that to the next request.
                self.connection = None;
                let (at, ms) = (self.shown_endpoint(), self.config.timeout_ms);
                Err(format!("{at} does not answer within {ms} ms (otlp.timeout_ms)"))
            }
        }
    }

    /// The receiver's URL, for messages.
    fn shown_endpoint(&self) -> String {
        let endpoint = &self.config.endpoint;
        let scheme = if endpoint.is_tls { "https" } else { "http" };
        format!("{scheme}://{}{}", endpoint.authority, self.target)
    }

    fn request(&self, message: Vec<u8>) -> Result<Request<Full<Bytes>>, String> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(&self.target)
            .header(HOST, &self.config.endpoint.authority)
            .header(USER_AGENT, concat!("ringgate/", env!("CARGO_PKG_VERSION")))
            .header(CONTENT_TYPE, PROTOBUF);
        for header in &self.config.headers {
            let mut value = match &header.value {
                HeaderValue::Given(value) => hyper::header::HeaderValue::from_str(value),
                HeaderValue::OfFile(file) => hyper::header::HeaderValue::from_str(&self.read_value(file)?),
            };
            if let Ok(value) = &mut value {
                value.set_sensitive(true);
            }
            // Both were checked: it cannot be refused.
            request = request.header(header.name.as_str(), value.map_err(|error| error.to_string())?);
        }
        let body = if self.config.is_compressed {
            request = request.header(CONTENT_ENCODING, "gzip");
            let mut encoder = GzEncoder::new(Vec::with_capacity(message.len() / 4), Compression::fast());
            let written = encoder.write_all(&message).and_then(|()| encoder.finish());
            written.map_err(|error| format!("cannot compress a request: {error}"))?
        } else {
            message
        };
        request.body(Full::new(body.into())).map_err(|error| format!("cannot make a request: {error}"))
    }

    /// Reads the value of a field, for each request anew: tokens are replaced while a process runs.
    fn read_value(&self, file: &str) -> Result<String, String> {
        let path = self.folder.join(file);
        let shown = path.display();
        let read = read_small(&path, HEADER_FILE_BYTES_MAX);
        let read = read.map_err(|fault| format!("{shown} {fault}: correct the file, or otlp.headers"))?;
        let text = String::from_utf8_lossy(&read.bytes).trim().to_owned();
        if is_header_value(&text) {
            Ok(text)
        } else {
            Err(format!("{shown} is not one line of visible ASCII, as the value of a header field is"))
        }
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, String> {
        if let Some(mut kept) = self.connection.take().filter(|kept| !kept.is_closed())
            && let Ok(response) = kept.send_request(request.clone()).await
        {
            return self.read(kept, response).await;
        }
        let mut connection = self.connect().await?;
        let response = connection.send_request(request).await;
        let response = response.map_err(|error| self.broken(&error))?;
        self.read(connection, response).await
    }

    fn broken(&self, error: &hyper::Error) -> String {
        format!("{} broke the connection: {}", self.shown_endpoint(), chain(error))
    }

    async fn read(
        &mut self,
        connection: SendRequest<Full<Bytes>>,
        response: Response<Incoming>,
    ) -> Result<Answer, String> {
        let (head, body) = response.into_parts();
        let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
        let retry_after =
            header(RETRY_AFTER).and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        let is_protobuf = header(CONTENT_TYPE).is_some_and(|kind| kind.starts_with(PROTOBUF));
        let body = match Limited::new(body, ANSWER_BYTES_MAX).collect().await {
            Ok(body) => {
                self.connection = Some(connection);
                body.to_bytes()
            }
            Err(_) => Bytes::new(),
        };
        let shown = if is_protobuf { String::new() } else { on_one_line(&String::from_utf8_lossy(&body)) };
        let message = if is_protobuf { body } else { Bytes::new() };
        Ok(Answer { status: head.status.as_u16(), retry_after, message, shown })
    }

    async fn connect(&mut self) -> Result<SendRequest<Full<Bytes>>, String> {
        let endpoint = &self.config.endpoint;
        let host = match &endpoint.host {
            BackendHost::Ip(address) => address.to_string(),
            BackendHost::Name(name) => name.clone(),
        };
        let at = self.shown_endpoint();
        let stream = TcpStream::connect((host, endpoint.port)).await;
        let stream = stream.map_err(|error| format!("cannot connect to {at}: {}", reason(&error)))?;
        // A request is written in one piece; what it waits for otherwise is an acknowledgement.
        let _ = stream.set_nodelay(true);
        if !endpoint.is_tls {
            return begin(stream).await.map_err(|error| self.broken(&error));
        }
        let name = server_name(&endpoint.host);
        let name = name.ok_or_else(|| format!("{at}: its host is no name that a certificate can have"))?;
        let connector = TlsConnector::from(std::sync::Arc::clone(self.tls()?.config()));
        let stream = connector.connect(name, stream).await;
        let stream = stream.map_err(|error| format!("no TLS with {at}: {}", reason(&error)))?;
        begin(stream).await.map_err(|error| self.broken(&error))
    }

    /// TLS with the receiver, as its files are now, or as they were before a fault.
    fn tls(&mut self) -> Result<&TlsBackend, String> {
        let told = |faults: Vec<crate::tls::files::FileFault>| {
            let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
            format!("otlp.tls: {}", faults.join("; "))
        };
        let loaded = match self.tls.take() {
            Some(mut tls) => {
                if tls.has_changed()
                    && let Err(faults) = tls.reload()
                {
                    tracing::warn!("{}: what was read before stays in use", told(faults));
                }
                tls
            }
            None => {
                let (system, _) = SystemAuthorities::load().map_err(|fault| told(vec![fault]))?;
                TlsBackend::load(self.config.tls.clone(), &self.folder, &system).map_err(told)?
            }
        };
        Ok(self.tls.insert(loaded))
    }
}

/// Begins HTTP on a connection, whose work is done by a task of its own.
async fn begin<S>(stream: S) -> Result<SendRequest<Full<Bytes>>, hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    // Its failure is that of the request on it.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        told = format!("{told}: {error}");
        cause = error.source();
    }
    told.to_lowercase()
}

/// The beginning of a text on one line.
pub(super) fn on_one_line(text: &str) -> String {
    let text = &text[..text.floor_char_boundary(SHOWN_BYTES_MAX)];
    text.split_whitespace().map(|word| word.escape_debug().to_string()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_instance;
    use std::fs;
    use std::sync::Arc;

    fn certificate() -> String {
        let made = rcgen::generate_simple_self_signed(["collector.example".to_owned()]);
        made.expect("a certificate").cert.pem()
    }

    #[test]
    fn authorities_that_are_broken_at_a_renewal_leave_those_of_before_in_use() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |text: &str| fs::write(folder.path().join("ca.pem"), text).expect("a file");
        let text = "[otlp]\nendpoint = \"https://collector.example\"\ntls = { ca = \"ca.pem\" }\n";
        let config = parse_instance("ringgate.toml", text).expect("a correct file").otlp.expect("a table");
        let mut client = Client::new(config, folder.path().to_owned(), Signal::Logs);
        assert!(client.tls().expect_err("there is no file").contains("ca.pem"));
        write(&certificate());
        let before = Arc::clone(client.tls().expect("authorities").config());
        write("-----BEGIN CERTIFICATE-----\n");
        assert!(Arc::ptr_eq(client.tls().expect("those of before").config(), &before));
        write(&(certificate() + &certificate()));
        assert!(!Arc::ptr_eq(client.tls().expect("new ones").config(), &before));
    }
}
