//! One end of a connection, byte by byte, with a time limit on every step.

use super::PATIENCE;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, SockRef, Socket, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// RFC 6455 §1.3's key and its accept value.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    Fin,
    Reset,
}

/// A raw connection.
pub struct Raw {
    pub stream: TcpStream,
    /// Received, and not yet asked for.
    held: Vec<u8>,
}

impl Raw {
    pub fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, held: Vec::new() }
    }

    pub fn connect(address: SocketAddr) -> Self {
        Self::new(TcpStream::connect(address).expect("a connection"))
    }

    /// A client at an address of its own.
    pub fn connect_from(source: IpAddr, address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(source, 0).into()).unwrap();
        socket.connect(&address.into()).expect("a connection");
        Self::new(socket.into())
    }

    /// A client whose system holds only so many bytes for it.
    pub fn connect_with_room(address: SocketAddr, bytes: usize) -> Self {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(bytes).unwrap();
        socket.connect(&address.into()).expect("a connection");
        Self::new(socket.into())
    }

    /// A client after its handshake at `path`.
    pub fn open(address: SocketAddr, path: &str) -> Self {
        let mut raw = Self::connect(address);
        raw.send(request(path, "").as_bytes());
        let head = raw.read_head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        raw
    }

    /// Another handle of the connection, for another thread. What this one holds already stays with it.
    pub fn clone_handle(&self) -> Self {
        Self { stream: self.stream.try_clone().unwrap(), held: Vec::new() }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("a peer that takes bytes");
    }

    /// Sends, and does not mind if the peer is gone.
    pub fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Sends these bytes again and again until the other side has taken none for so long; gives how many it took.
    pub fn flood(&mut self, bytes: &[u8], time: Duration) -> usize {
        self.stream.set_nonblocking(true).unwrap();
        let mut taken = 0;
        let poll_time = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() };
        loop {
            match self.stream.write(&bytes[taken % bytes.len()..]) {
                Ok(count) => taken += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock, "a peer that is there");
                    let mut watched = [PollFd::new(&self.stream, PollFlags::OUT)];
                    if matches!(poll(&mut watched, Some(&poll_time)), Ok(0)) {
                        break;
                    }
                }
            }
        }
        self.stream.set_nonblocking(false).unwrap();
        taken
    }

    /// Reads to the end of a head; gives it as text.
    pub fn read_head(&mut self) -> String {
        loop {
            if let Some(at) = self.held.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = self.held.drain(..at + 4).collect();
                return String::from_utf8(head).expect("a head in ASCII");
            }
            assert!(
                self.fill() > 0,
                "the stream ended within a head: {:?}",
                String::from_utf8_lossy(&self.held)
            );
        }
    }

    /// Reads exactly so many bytes.
    pub fn read(&mut self, bytes: usize) -> Vec<u8> {
        while self.held.len() < bytes {
            assert!(self.fill() > 0, "the stream ended after {} of {bytes} bytes", self.held.len());
        }
        self.held.drain(..bytes).collect()
    }

    /// Reads exactly these bytes.
    pub fn expect(&mut self, bytes: &[u8]) {
        let got = self.read(bytes.len());
        assert!(
            got == bytes,
            "got {:02x?}, expected {:02x?}",
            &got[..got.len().min(80)],
            &bytes[..bytes.len().min(80)]
        );
    }

    /// Reads so many bytes, or what comes before the end; says whether all came.
    pub fn read_up_to(&mut self, bytes: usize, into: &mut Vec<u8>) -> bool {
        let mut buffer = [0; 65_536];
        while into.len() < bytes {
            let most = buffer.len().min(bytes - into.len());
            match self.stream.read(&mut buffer[..most]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(0) => return false,
                Ok(count) => into.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return false,
                Err(error) => panic!("neither bytes nor an end came: {error}"),
            }
        }
        true
    }

    /// Reads to the end of the stream; gives what came and how it ended.
    pub fn read_to_end(&mut self) -> (Vec<u8>, StreamEnd) {
        let mut bytes = std::mem::take(&mut self.held);
        let mut buffer = [0; 65_536];
        loop {
            match self.stream.read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(0) => return (bytes, StreamEnd::Fin),
                Ok(count) => bytes.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return (bytes, StreamEnd::Reset),
                Err(error) => panic!("neither bytes nor an end came: {error}; so far {:02x?}", bytes),
            }
        }
    }

    /// Whether nothing comes for so long, neither bytes nor an end.
    pub fn is_silent_for(&mut self, time: Duration) -> bool {
        self.stream.set_read_timeout(Some(time)).unwrap();
        // A read with a time limit is not taken up again after a signal.
        let result = loop {
            match self.stream.read(&mut [0]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => break result,
            }
        };
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        self.held.is_empty() && result.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    /// Ends what is sent.
    pub fn finish(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Ends what is sent, unless the connection is gone already.
    pub fn finish_if_open(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Closes with a reset.
    pub fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    fn fill(&mut self) -> usize {
        let mut buffer = [0; 65_536];
        // A read with a time limit is not taken up again after a signal.
        let count = loop {
            match self.stream.read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => break result.expect("bytes, or an orderly end"),
            }
        };
        self.held.extend_from_slice(&buffer[..count]);
        count
    }
}

/// A correct opening handshake, with further header lines.
pub fn request(path: &str, lines: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: gateway.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{lines}\r\n"
    )
}

/// The accept value for a key (RFC 6455 §4.2.2).
pub fn accept_for(key: &str) -> String {
    tungstenite::handshake::derive_accept_key(key.as_bytes())
}

/// The value of a header line in a head.
pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}
