//! The status page: every counter as plain text, over HTTP/1.1, usually on a loopback address.
//!
//! `GET /` is the page; each connection gets one answer and ends behind it. Heads are judged by the same rules as those
//! of a listener.
//!
//! The property to trust: nobody who asks slows a worker. Counters are read with plain loads, on the control runtime,
//! and the number of connections, how often one is taken, the size of a head and the time for all of it are bounded.
//!
//! Not here: authentication, for want of which the address is a loopback one unless told otherwise
//! (`catalog::instance`); what is counted (`observe`).

use crate::http1::encode::encode_refusal;
use crate::http1::request::check_incomplete_head;
use crate::http1::{HeadFault, RequestHead, Target, find_head_end};
use crate::limits::{
    HEAD_READ_BYTES, STATUS_ACCEPT_PAUSE, STATUS_CONNECTIONS_MAX, STATUS_DRAIN_BYTES, STATUS_INTERVAL,
    STATUS_TIMEOUT,
};
use crate::observe::Observed;
use crate::observe::text::page;
use crate::telemetry::limited;
use bytes::{Bytes, BytesMut};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

/// A status page that is served. Dropping it closes its listener; answers in progress go on to their own end.
#[derive(Debug)]
pub struct StatusPage {
    address: SocketAddr,
    accepting: AbortHandle,
}

impl StatusPage {
    /// Serves the page of `observed` to who connects to `listener`, on `control`.
    ///
    /// # Errors
    /// The kernel's, when the listener cannot be taken over.
    pub fn start(control: &Handle, listener: std::net::TcpListener, observed: Observed) -> io::Result<Self> {
        Self::start_with(control, listener, observed, STATUS_TIMEOUT)
    }

    /// As [`StatusPage::start`], with another time for each connection.
    fn start_with(
        control: &Handle,
        listener: std::net::TcpListener,
        observed: Observed,
        patience: Duration,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        // The listener registers with the runtime that is entered.
        let _entered = control.enter();
        let listener = TcpListener::from_std(listener)?;
        let accepting = control.spawn(accept_all(listener, observed, patience)).abort_handle();
        Ok(Self { address, accepting })
    }

    /// Where it is served; with the port that the kernel chose.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for StatusPage {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Accepts for ever. Who comes while all places are taken waits in the listener's queue.
async fn accept_all(listener: TcpListener, observed: Observed, patience: Duration) {
    let places = Arc::new(Semaphore::new(STATUS_CONNECTIONS_MAX));
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let observed = observed.clone();
                tokio::spawn(async move {
                    // Neither a reader that is gone nor one that is slow is anybody's concern.
                    let _ = timeout(patience, serve(stream, &observed)).await;
                    drop(place);
                });
                sleep(STATUS_INTERVAL).await;
            }
            Err(error) => {
                limited!(WARN, None, "the status page cannot accept", %error);
                sleep(STATUS_ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One connection: one request, one answer.
async fn serve(mut stream: TcpStream, observed: &Observed) -> io::Result<()> {
    let answer = match read_request(&mut stream).await? {
        Ok(request) => answer(&request, observed),
        Err(fault) => encode_refusal(fault.status(), fault.response_headers(), fault.message()).freeze(),
    };
    stream.write_all(&answer).await?;
    stream.shutdown().await?;
    // Unread bytes would make the close a reset, which can overtake the answer (RFC 9112 §9.6).
    tokio::io::copy(&mut stream.take(STATUS_DRAIN_BYTES), &mut tokio::io::sink()).await?;
    Ok(())
}

/// Reads a request head, and judges it.
///
/// # Errors
/// The connection's, or `UnexpectedEof`.
async fn read_request(stream: &mut TcpStream) -> io::Result<Result<RequestHead, HeadFault>> {
    let mut received = BytesMut::with_capacity(HEAD_READ_BYTES);
    let mut searched = 0;
    loop {
        if let Some(end) = find_head_end(&received, searched) {
            return Ok(RequestHead::parse(received.split_to(end).freeze()));
        }
        if let Err(fault) = check_incomplete_head(&received) {
            return Ok(Err(fault));
        }
        searched = received.len();
        if stream.read_buf(&mut received).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

fn answer(request: &RequestHead, observed: &Observed) -> Bytes {
    match request.target() {
        Target::Origin { path: "/", query: _ } => {
            let page = page(observed);
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
                 Cache-Control: no-store\r\nConnection: close\r\n\r\n",
                page.len()
            );
            Bytes::from(head + &page)
        }
        Target::Origin { .. } | Target::Asterisk | Target::Other => {
            encode_refusal(404, &[], "Resource not found").freeze()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::front::budgets::Budgets;
    use crate::observe::Counters;
    use tokio::time::Instant;

    fn start(patience: Duration) -> StatusPage {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let observed = Observed::of(Counters::new(1), Budgets::of(3, 5));
        StatusPage::start_with(&Handle::current(), listener, observed, patience).unwrap()
    }

    /// Sends bytes, and reads to the end of the stream.
    async fn ask(page: &StatusPage, bytes: &[u8]) -> io::Result<String> {
        let mut stream = TcpStream::connect(page.address()).await?;
        stream.write_all(bytes).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    #[tokio::test]
    async fn gives_the_page_and_ends_the_connection() {
        let page = start(Duration::from_secs(20));
        for target in ["/", "/?x=1", "http://localhost/"] {
            let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
            let answer = ask(&page, request.as_bytes()).await.unwrap();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(
                head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("\r\nConnection: close"),
                "{head}"
            );
            assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
            assert!(body.lines().any(|line| line == "places_limit 3"), "{body}");
        }
    }

    #[tokio::test]
    async fn refuses_what_is_not_get_of_the_page() {
        let page = start(Duration::from_secs(20));
        let big = format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "x".repeat(16 * 1024));
        for (request, status) in [
            ("GET /x HTTP/1.1\r\nHost: h\r\n\r\n", "404"),
            ("GET * HTTP/1.1\r\nHost: h\r\n\r\n", "404"),
            ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody", "405"),
            ("GET / HTTP/1.0\r\n\r\n", "505"),
            ("GET / HTTP/1.1\r\n\r\n", "400"),
            ("\x16\x03\x01", "400"),
            (&big, "431"),
        ] {
            let answer = ask(&page, request.as_bytes()).await.unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{status}: {answer}");
            assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
            assert_eq!(answer.contains("\r\nAllow: GET\r\n"), status == "405", "{answer}");
        }
    }

    #[tokio::test]
    async fn ends_who_does_not_finish_a_request_and_lets_the_next_one_in() {
        let page = start(Duration::from_secs(1));
        let mut silent = Vec::new();
        for _ in 0..STATUS_CONNECTIONS_MAX {
            let mut stream = TcpStream::connect(page.address()).await.unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
            silent.push(stream);
        }
        // It waits in the queue until the first of the silent ones is ended.
        let answer = ask(&page, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        for mut stream in silent {
            assert_eq!(stream.read(&mut [0; 8]).await.unwrap_or(0), 0, "nothing but the end");
        }
    }

    #[tokio::test]
    async fn answers_no_more_often_than_it_may() {
        let page = start(Duration::from_secs(20));
        let begun = Instant::now();
        for _ in 0..=10 {
            ask(&page, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
        }
        assert!(begun.elapsed() >= STATUS_INTERVAL * 10, "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn is_served_no_more_when_dropped() {
        let page = start(Duration::from_secs(20));
        let address = page.address();
        drop(page);
        while TcpStream::connect(address).await.is_ok() {}
    }
}
