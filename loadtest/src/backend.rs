//! The backend of every measurement: it echoes, drops, pushes at a rate, or floods, as the path asks.
//!
//! | last segment of the path | what it does |
//! |---|---|
//! | anything else | echoes each data frame |
//! | `/sink` | drops what comes without looking at it, so it answers no Close |
//! | `/push?bytes=N&every_us=U` | sends a binary frame of N bytes every U µs; its first 8 bytes are the intended time |
//! | `/flood?bytes=N` | sends N bytes in frames of 64 KiB, as fast as they are taken |
//! | `/flood?bytes=N&asked=1` | the same, from the first frame of the client on |
//!
//! Segments before the last one are for proxies to route by.
//!
//! With credentials it speaks TLS and nothing else.
//!
//! One thread. It must not be the bottleneck, so it does no more than it has to: small buffers, no timers but the pushes.

use crate::poller::{Poller, Ready, now_ns};
use crate::tls::channel::Channel;
use crate::tls::configs;
use crate::tls::credentials::Credentials;
use crate::transport::{Buffers, Transport};
use crate::wire::{ACCEPT, FrameReader, Part, head_end, put_header};
use anyhow::Result;
use rustls::ServerConfig;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

/// Payload of one frame of a flood, in bytes.
const FLOOD_FRAME_BYTES: usize = 64 * 1024;

/// Bytes that wait for one peer at which nothing more is read from it.
const WAITING_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Reads from one peer before others get their turn: one that sends without end must not hold them up.
const READS_MAX: usize = 16;

const LISTENER: u64 = u64::MAX;

#[derive(Debug)]
enum Mode {
    Echo,
    Sink,
    Push { frame: Vec<u8>, payload_at: usize, every_ns: u64 },
    Flood { left: usize, waits_to_be_asked: bool },
}

#[derive(Debug)]
struct Connection {
    transport: Transport,
    /// The request head until it is whole.
    head: Option<Vec<u8>>,
    mode: Mode,
    reader: FrameReader,
    mask: [u8; 4],
    mask_at: usize,
    is_close: bool,
    waiting: Vec<u8>,
    sent: usize,
    wants_write: bool,
}

/// A backend, ready to serve.
#[derive(Debug)]
pub struct Backend {
    listener: TcpListener,
    poller: Poller,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    pushes: BinaryHeap<Reverse<(u64, usize)>>,
    buffers: Buffers,
    tls: Option<Arc<ServerConfig>>,
}

impl Backend {
    /// Listens.
    ///
    /// # Errors
    /// The kernel's.
    pub fn listen(address: SocketAddr) -> Result<Self> {
        Self::listen_with(address, None)
    }

    /// Listens, for TLS if there are credentials.
    ///
    /// # Errors
    /// The kernel's, or credentials that are none.
    pub fn listen_with(address: SocketAddr, credentials: Option<&Credentials>) -> Result<Self> {
        let tls = credentials.map(configs::backend).transpose()?;
        let socket =
            socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.set_tcp_nodelay(true)?;
        socket.bind(&address.into())?;
        socket.listen(4096)?;
        socket.set_nonblocking(true)?;
        let listener = TcpListener::from(socket);
        let poller = Poller::new()?;
        poller.add(&listener, LISTENER, false)?;
        Ok(Self {
            listener,
            poller,
            connections: Vec::new(),
            free: Vec::new(),
            pushes: BinaryHeap::new(),
            buffers: Buffers::new(tls.is_some()),
            tls,
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The kernel's.
    pub fn address(&self) -> Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// Serves until the process ends.
    ///
    /// # Errors
    /// The kernel's, when it cannot wait.
    pub fn serve(mut self) -> Result<()> {
        let mut ready = Vec::new();
        loop {
            let next = self.pushes.peek().map_or(u64::MAX, |Reverse((due, _))| *due);
            self.poller.wait(next.min(now_ns() + 1_000_000_000), &mut ready)?;
            for event in ready.drain(..) {
                self.handle(event);
            }
            self.push_due();
        }
    }

    fn handle(&mut self, event: Ready) {
        if event.key == LISTENER {
            return self.accept();
        }
        let index = event.key as usize;
        let Some(mut connection) = self.connections.get_mut(index).and_then(Option::take) else { return };
        let is_alive = (!event.is_readable || self.read(&mut connection, index))
            && connection.refill_and_write(&self.poller, event.key, &mut self.buffers);
        if is_alive {
            self.connections[index] = Some(connection);
        } else {
            self.free.push(index);
        }
    }

    fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            if stream.set_nonblocking(true).is_err() {
                continue;
            }
            let Some(transport) = self.transport(stream) else { continue };
            let index = self.free.pop().unwrap_or(self.connections.len());
            if index == self.connections.len() {
                self.connections.push(None);
            }
            if self.poller.add(transport.stream(), index as u64, false).is_err() {
                self.free.push(index);
                continue;
            }
            self.connections[index] = Some(Connection {
                transport,
                head: Some(Vec::new()),
                mode: Mode::Echo,
                reader: FrameReader::default(),
                mask: [0; 4],
                mask_at: 0,
                is_close: false,
                waiting: Vec::new(),
                sent: 0,
                wants_write: false,
            });
        }
    }

    fn transport(&self, stream: TcpStream) -> Option<Transport> {
        match &self.tls {
            None => Some(Transport::plain(stream)),
            Some(config) => Some(Transport::tls(stream, Channel::server(config).ok()?)),
        }
    }

    /// Reads what is there; `false` at the end.
    fn read(&mut self, connection: &mut Connection, index: usize) -> bool {
        for _ in 0..READS_MAX {
            if connection.waiting.len() > WAITING_BYTES_MAX {
                return true;
            }
            match connection.transport.read(&mut self.buffers) {
                Ok(received) => {
                    if connection.head.is_some() {
                        if !connection.take_head(received.bytes) {
                            return false;
                        }
                        if let Mode::Push { every_ns, .. } = &connection.mode {
                            // The first pushes of the sessions are spread over one interval.
                            let phase = (index as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) % every_ns;
                            self.pushes.push(Reverse((now_ns() + phase, index)));
                        }
                    } else {
                        connection.take_frames(received.bytes);
                    }
                    if received.is_over {
                        return false;
                    }
                    if received.is_all {
                        return true;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        true
    }

    fn push_due(&mut self) {
        let now = now_ns();
        while let Some(Reverse((due, index))) = self.pushes.peek().copied() {
            if due > now {
                return;
            }
            self.pushes.pop();
            let Some(Some(connection)) = self.connections.get_mut(index) else { continue };
            let Mode::Push { frame, payload_at, every_ns } = &mut connection.mode else { continue };
            let next = due + *every_ns;
            frame[*payload_at..*payload_at + 8].copy_from_slice(&due.to_ne_bytes());
            connection.waiting.extend_from_slice(frame);
            self.pushes.push(Reverse((next, index)));
            connection.refill_and_write(&self.poller, index as u64, &mut self.buffers);
        }
    }
}

impl Connection {
    /// Takes bytes of the request head; `false` if it is none.
    fn take_head(&mut self, bytes: &[u8]) -> bool {
        let Some(head) = &mut self.head else { return true };
        head.extend_from_slice(bytes);
        let Some(end) = head_end(head) else { return head.len() < 16 * 1024 };
        let behind = head.split_off(end);
        let text = String::from_utf8_lossy(head).into_owned();
        self.head = None;
        let accept = accept_value(&text);
        self.waiting.extend_from_slice(
            format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {accept}\r\n\r\n"
            )
            .as_bytes(),
        );
        self.mode = mode_of(text.split(' ').nth(1).unwrap_or("/"));
        self.take_frames(&behind);
        true
    }

    fn take_frames(&mut self, bytes: &[u8]) {
        let Self { reader, waiting, mask, mask_at, is_close, mode, .. } = self;
        let echoes = match mode {
            Mode::Echo => true,
            Mode::Sink => return,
            Mode::Push { .. } | Mode::Flood { .. } => false,
        };
        reader.read(bytes, |part| match part {
            Part::Header { first, len, mask: key } => {
                if let Mode::Flood { waits_to_be_asked, .. } = mode {
                    *waits_to_be_asked = false;
                }
                *is_close = first & 0x0f == 0x8;
                *mask = key;
                *mask_at = 0;
                if echoes || *is_close {
                    put_header(waiting, first, len as usize, 0);
                }
            }
            Part::Payload(payload) if echoes || *is_close => {
                let at = waiting.len();
                waiting.extend_from_slice(payload);
                if *mask != [0; 4] {
                    for (index, byte) in waiting[at..].iter_mut().enumerate() {
                        *byte ^= mask[(*mask_at + index) % 4];
                    }
                    *mask_at += payload.len();
                }
            }
            Part::Payload(_) | Part::End => {}
        });
    }

    /// Writes what waits, and what a flood still has; `false` when the connection is over.
    fn refill_and_write(&mut self, poller: &Poller, key: u64, buffers: &mut Buffers) -> bool {
        loop {
            if self.sent == self.waiting.len() {
                self.waiting.clear();
                self.sent = 0;
                match &mut self.mode {
                    Mode::Flood { left, waits_to_be_asked: false } if *left > 0 && self.head.is_none() => {
                        let now = (*left).min(FLOOD_FRAME_BYTES);
                        *left -= now;
                        put_header(&mut self.waiting, 0x82, now, 0);
                        self.waiting.resize(self.waiting.len() + now, 0);
                    }
                    Mode::Echo | Mode::Sink | Mode::Push { .. } | Mode::Flood { .. } => break,
                }
            }
            match self.transport.write(&self.waiting[self.sent..], buffers) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        if self.transport.flush().is_err() {
            return false;
        }
        let has_rest = self.sent < self.waiting.len();
        if !has_rest {
            if self.waiting.capacity() > 4096 {
                self.waiting = Vec::new();
            }
            // RFC 6455 §7.1.1: the server ends the connection behind its Close frame.
            if self.is_close && self.reader.is_between_frames() {
                self.transport.end_writing(buffers);
            }
        }
        let wants_write = self.transport.wants_write(has_rest);
        if wants_write != self.wants_write {
            self.wants_write = wants_write;
            return poller.modify(self.transport.stream(), key, wants_write).is_ok();
        }
        true
    }
}

fn accept_value(head: &str) -> String {
    let key = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-key").then(|| value.trim())
    });
    match key {
        Some(crate::wire::KEY) => ACCEPT.to_owned(),
        Some(key) => tungstenite::handshake::derive_accept_key(key.as_bytes()),
        None => String::new(),
    }
}

fn mode_of(target: &str) -> Mode {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let number = |name: &str, default: usize| {
        query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(key, _)| *key == name)
            .and_then(|(_, value)| value.parse().ok())
            .unwrap_or(default)
    };
    match path.rsplit('/').next().unwrap_or_default() {
        "sink" => Mode::Sink,
        "push" => {
            let bytes = number("bytes", 200).max(16);
            let mut frame = Vec::new();
            put_header(&mut frame, 0x82, bytes, 0);
            let payload_at = frame.len();
            frame.resize(payload_at + bytes, 0);
            Mode::Push { frame, payload_at, every_ns: number("every_us", 100_000).max(1) as u64 * 1000 }
        }
        "flood" => Mode::Flood { left: number("bytes", 1 << 20), waits_to_be_asked: number("asked", 0) == 1 },
        _ => Mode::Echo,
    }
}
