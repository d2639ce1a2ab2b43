//! Backends that do what a test says.

use super::PATIENCE;
use super::frames::{client_frame, close_payload, server_frame};
use super::raw::{Raw, accept_for, header};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use std::io::Read as _;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::IntoRawFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

/// A listening socket whose connections the test takes one by one.
pub struct Backend {
    listener: TcpListener,
    pub address: SocketAddr,
}

impl Backend {
    pub fn new() -> Self {
        Self::at([127, 0, 0, 1].into())
    }

    /// One at an address of this host.
    pub fn at(address: IpAddr) -> Self {
        let listener = TcpListener::bind((address, 0)).expect("a free port");
        let address = listener.local_addr().unwrap();
        Self { listener, address }
    }

    /// One whose system holds only so many bytes for each connection.
    pub fn with_room(bytes: usize) -> Self {
        let backend = Self::new();
        SockRef::from(&backend.listener).set_recv_buffer_size(bytes).unwrap();
        backend
    }

    /// Takes the next connection.
    pub fn take(&self) -> Raw {
        SockRef::from(&self.listener).set_read_timeout(Some(PATIENCE)).unwrap();
        Raw::new(self.listener.accept().expect("a connection from the gateway").0)
    }

    /// Takes the next connection and its request head.
    pub fn take_request(&self) -> (Raw, String) {
        let mut raw = self.take();
        let head = raw.read_head();
        (raw, head)
    }

    /// Takes the next connection and accepts its handshake.
    pub fn take_session(&self) -> Raw {
        let (mut raw, head) = self.take_request();
        raw.send(switching(&head, "").as_bytes());
        raw
    }

    /// Answers every connection on a thread of its own, for ever.
    pub fn serve(self, answer: impl Fn(Raw) + Send + Sync + Clone + 'static) -> SocketAddr {
        let address = self.address;
        thread::spawn(move || {
            while let Ok((stream, _)) = self.listener.accept() {
                let answer = answer.clone();
                thread::Builder::new()
                    .stack_size(128 * 1024)
                    .spawn(move || answer(Raw::new(stream)))
                    .unwrap();
            }
        });
        address
    }
}

/// A correct 101 for a request head, with further header lines.
pub fn switching(request_head: &str, lines: &str) -> String {
    let key = header(request_head, "Sec-WebSocket-Key").expect("a key in the request");
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n{lines}\r\n",
        accept_for(key)
    )
}

/// An echo backend on tungstenite, a thread for each connection.
pub fn tungstenite_echo() -> SocketAddr {
    Backend::new().serve(|raw| {
        let Ok(mut socket) = tungstenite::accept(raw.stream) else { return };
        while let Ok(message) = socket.read() {
            if (message.is_text() || message.is_binary()) && socket.send(message).is_err() {
                return;
            }
        }
    })
}

/// An echo backend on tokio-tungstenite, for very many sessions.
pub async fn tokio_echo() -> SocketAddr {
    use futures_util::{SinkExt as _, StreamExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
                while let Some(Ok(message)) = socket.next().await {
                    if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// A backend that counts the sessions it holds at once.
///
/// A session is over for it when it hears the client's Close, and only then it answers. Its gateway keeps a session's
/// place until both ends are closed, so it must never hold more than there are places, not even for a moment.
pub struct CountingBackend {
    pub address: SocketAddr,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    held: AtomicU32,
    most: AtomicU32,
}

impl CountingBackend {
    pub fn start() -> Self {
        let counts = Arc::new(Counts::default());
        let address = Backend::new().serve({
            let counts = Arc::clone(&counts);
            move |mut raw| {
                let head = raw.read_head();
                let held = 1 + counts.held.fetch_add(1, Ordering::SeqCst);
                counts.most.fetch_max(held, Ordering::SeqCst);
                raw.send(switching(&head, "").as_bytes());
                // The first that comes is the Close, or the end of the stream.
                let _ = raw.stream.read(&mut [0; 64]);
                counts.held.fetch_sub(1, Ordering::SeqCst);
                raw.try_send(&server_frame(0x88, &close_payload(1000, "")));
                raw.finish_if_open();
                let _ = std::io::copy(&mut raw.stream, &mut std::io::sink());
            }
        });
        Self { address, counts }
    }

    /// Sessions that it holds.
    pub fn held(&self) -> u32 {
        self.counts.held.load(Ordering::SeqCst)
    }

    /// The most sessions that it ever held at once.
    pub fn most(&self) -> u32 {
        self.counts.most.load(Ordering::SeqCst)
    }
}

/// A session with both ends in the hands of the test.
pub struct Pair {
    pub client: Raw,
    pub backend: Raw,
}

impl Pair {
    /// Opens a session at `/t` of the gateway.
    pub fn open(gateway: SocketAddr, backend: &Backend) -> Self {
        let mut client = Raw::connect(gateway);
        client.send(super::raw::request("/t", "").as_bytes());
        let backend = backend.take_session();
        let head = client.read_head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        Self { client, backend }
    }

    /// Sends a message to the backend, and one back.
    pub fn exchange(&mut self) {
        let message = client_frame(0x81, b"still here");
        self.client.send(&message);
        self.backend.expect(&message);
        let answer = server_frame(0x81, b"so am I");
        self.backend.send(&answer);
        self.client.expect(&answer);
    }
}

/// A channel for what a backend's threads saw.
pub fn reports<T>() -> (Sender<T>, Receiver<T>) {
    channel()
}

/// A backend that answers no connection attempt: its queue is full and nobody takes from it.
pub struct Deaf {
    pub address: SocketAddr,
    _listener: Socket,
    _queued: Vec<Socket>,
}

impl Deaf {
    pub fn new() -> Self {
        let socket = || Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let listener = socket();
        listener.bind(&SockAddr::from(SocketAddr::from(([127, 0, 0, 1], 0)))).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let fill = |_| {
            let socket = socket();
            socket.set_nonblocking(true).unwrap();
            let _ = socket.connect(&address);
            socket
        };
        Self {
            address: address.as_socket().unwrap(),
            _queued: (0..4).map(fill).collect(),
            _listener: listener,
        }
    }
}

/// An address of this host where nobody listens as long as this process runs: its port is taken, so that no other test gets it.
pub fn closed_port() -> SocketAddr {
    let taken = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    taken.bind(&SockAddr::from(SocketAddr::from(([127, 0, 0, 1], 0)))).expect("a free port");
    let address = taken.local_addr().expect("it is bound").as_socket().expect("an address with a port");
    let _never_closed = taken.into_raw_fd();
    address
}

/// An address of this host that was free a moment ago, for a process that is told where to listen.
pub fn free_port() -> SocketAddr {
    Backend::new().address
}
