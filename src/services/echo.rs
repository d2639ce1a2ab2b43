//! The built-in echo backend: a WebSocket server that sends every message back, to try the gateway with.
//!
//! Text and binary messages come back as they are, whole; pings and Close are answered; no subprotocol and no extension
//! is taken up, and every path and every header is accepted.
//!
//! The property to trust: it is an ordinary backend. The gateway reaches it over a socket like any other, so a session
//! with it goes the whole way. It runs on the runtime of the services and takes nothing from a worker.
//!
//! Not here: speed. It copies and holds each message; load is measured with a backend of its own.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::accept_async_with_config;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::process::log::limited;

/// Largest message, and largest frame, in bytes, that the built-in echo backend takes. Over it: it
/// drops the connection, without a Close.
const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How long a connection to the built-in echo backend may take over its opening handshake. Over it: closed.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the built-in echo backend waits after an accept that failed, before it tries again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bytes of read buffer of each connection. tungstenite allocates it at once and grows it to the size of a frame, so it
/// is what an idle connection costs.
const READ_BUFFER_BYTES: usize = 8 * 1024;

/// A running echo backend. Dropping it closes its listener; open connections go on to their own end.
#[derive(Debug)]
pub struct EchoBackend {
    address: SocketAddr,
    accepting: AbortHandle,
}

impl EchoBackend {
    /// Serves `listener` on the runtime of the services, at most `connections_max` connections at once.
    ///
    /// A connection over that is closed at once, which the gateway sees as a backend that refuses. Each takes one open
    /// file of this process, besides the two of its session.
    ///
    /// # Errors
    /// The kernel's, when the listener cannot be taken over.
    pub fn start(
        services: &Handle,
        listener: std::net::TcpListener,
        connections_max: usize,
    ) -> io::Result<EchoBackend> {
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        // The listener registers with the runtime that is entered.
        let _entered = services.enter();
        let listener = TcpListener::from_std(listener)?;
        let places = Arc::new(Semaphore::new(connections_max.min(Semaphore::MAX_PERMITS)));
        let accepting = services.spawn(accept_all(listener, places)).abort_handle();
        Ok(EchoBackend { address, accepting })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for EchoBackend {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Accepts for ever. An error of accept concerns one connection or the whole process; either way it is tried again,
/// after a pause, because being out of open files would otherwise spin.
async fn accept_all(listener: TcpListener, places: Arc<Semaphore>) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                limited!(WARN, None, "the echo backend cannot accept", %error);
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracing::debug!("the echo backend is full");
            continue;
        };
        tokio::spawn(async move {
            if let Err(error) = echo(stream).await {
                tracing::debug!(%error, "an echo connection ended with an error");
            }
            drop(place);
        });
    }
}

/// One connection, from its opening handshake to its end.
async fn echo(stream: TcpStream) -> Result<(), tungstenite::Error> {
    stream.set_nodelay(true)?;
    let limits = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    let Ok(opened) = timeout(HANDSHAKE_TIMEOUT, accept_async_with_config(stream, Some(limits))).await else {
        return Err(io::Error::from(io::ErrorKind::TimedOut).into());
    };
    let mut connection = opened?;
    while let Some(message) = connection.next().await {
        match message? {
            message @ (Message::Text(_) | Message::Binary(_)) => connection.send(message).await?,
            // tungstenite has its answers to Ping and Close ready and sends them when the next message is awaited.
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio_tungstenite::tungstenite::client::IntoClientRequest;
    use tokio_tungstenite::tungstenite::protocol::CloseFrame;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
    use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

    use super::*;

    fn start(connections_max: usize) -> EchoBackend {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        EchoBackend::start(&Handle::current(), listener, connections_max).unwrap()
    }

    async fn connect(
        backend: &EchoBackend,
    ) -> Result<WebSocketStream<MaybeTlsStream<TcpStream>>, tungstenite::Error> {
        let mut request = format!("ws://{}/any/path?q=1", backend.address()).into_client_request()?;
        // An offer that the backend has to leave alone: the client would refuse an answer that it did not ask for.
        let offer = "permessage-deflate".parse().expect("a valid header value");
        request.headers_mut().insert("Sec-WebSocket-Extensions", offer);
        let limits = WebSocketConfig::default().max_frame_size(None).max_message_size(None);
        Ok(connect_async_with_config(request, Some(limits), true).await?.0)
    }

    #[tokio::test]
    async fn sends_text_and_binary_back_whatever_their_size() {
        let backend = start(1);
        let mut client = connect(&backend).await.unwrap();
        for message in [
            Message::text(""),
            Message::text("grüße"),
            Message::binary(vec![0; 125]),
            Message::binary(vec![1; 70_000]),
            Message::binary(vec![2; 20 * 1024 * 1024]),
        ] {
            client.send(message.clone()).await.unwrap();
            assert!(client.next().await.unwrap().unwrap() == message);
        }
    }

    #[tokio::test]
    async fn answers_ping_with_its_payload_and_close_with_its_code() {
        let backend = start(1);
        let mut client = connect(&backend).await.unwrap();
        client.send(Message::Ping("are you there".into())).await.unwrap();
        assert_eq!(client.next().await.unwrap().unwrap(), Message::Pong("are you there".into()));

        let close = CloseFrame { code: CloseCode::from(3_001), reason: "done".into() };
        client.send(Message::Close(Some(close.clone()))).await.unwrap();
        assert_eq!(client.next().await.unwrap().unwrap(), Message::Close(Some(close)));
        assert!(client.next().await.is_none(), "the connection ends in order");
    }

    #[tokio::test]
    async fn turns_away_what_is_over_its_bound_and_takes_it_when_there_is_a_place() {
        let backend = start(1);
        let mut client = connect(&backend).await.unwrap();
        assert!(connect(&backend).await.is_err());

        client.close(None).await.unwrap();
        while client.next().await.is_some() {}
        // The place comes back a moment after the client has seen the end.
        while connect(&backend).await.is_err() {}
    }

    #[tokio::test]
    async fn closes_its_listener_when_dropped_and_lets_open_connections_end() {
        let backend = start(2);
        let mut client = connect(&backend).await.unwrap();
        let address = backend.address();
        drop(backend);
        while TcpStream::connect(address).await.is_ok() {}
        client.send(Message::text("still here")).await.unwrap();
        assert_eq!(client.next().await.unwrap().unwrap(), Message::text("still here"));
    }
}
