//! One endpoint of a session, plain or under TLS, that sees how its connection ends: with or without a close_notify, by FIN
//! or by a reset.

use crate::support::PATIENCE;
use rustls::{AlertDescription, Connection};
use socket2::SockRef;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

/// How what an endpoint is sent came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// FIN; under TLS behind a close_notify.
    Plain,
    /// Under TLS: FIN, and nothing said before it.
    Bare,
    /// Under TLS: an alert, then FIN.
    Alert(AlertDescription),
    /// A reset.
    Reset,
}

/// An endpoint.
pub(crate) struct Peer {
    socket: TcpStream,
    tls: Option<Box<Connection>>,
    /// Received, and not yet asked for.
    held: Vec<u8>,
    ending: Option<Ending>,
}

impl Peer {
    pub(crate) fn plain(socket: TcpStream) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        Self { socket, tls: None, held: Vec::new(), ending: None }
    }

    /// One whose TLS handshake goes with its first bytes.
    pub(crate) fn secured(socket: TcpStream, connection: Connection) -> Self {
        Self { tls: Some(Box::new(connection)), ..Self::plain(socket) }
    }

    pub(crate) fn is_secured(&self) -> bool {
        self.tls.is_some()
    }

    /// Completes the TLS handshake, if there is one.
    pub(crate) fn shake_hands(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.complete_io(&mut self.socket).expect("a handshake");
            // What came with the last of it.
            take_plaintext(tls, &mut self.held);
        }
    }

    /// Sends, and does not mind if nobody takes it.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> bool {
        let Some(tls) = &mut self.tls else { return self.socket.write_all(bytes).is_ok() };
        bytes.chunks(10_000).all(|part| {
            tls.writer().write_all(part).unwrap();
            flush(tls, &mut self.socket)
        })
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        assert!(self.try_send(bytes), "a peer that takes bytes");
    }

    /// Sends a record that is not authentic.
    pub(crate) fn send_broken_record(&mut self) {
        let tls = self.tls.as_mut().expect("an endpoint under TLS");
        tls.writer().write_all(&[7; 40]).unwrap();
        let mut record = Vec::new();
        while tls.wants_write() {
            tls.write_tls(&mut record).unwrap();
        }
        *record.last_mut().unwrap() ^= 1;
        self.socket.write_all(&record).unwrap();
    }

    /// Ends what it sends, in good order.
    pub(crate) fn finish(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            flush(tls, &mut self.socket);
        }
        self.truncate();
    }

    /// Ends what it sends with a bare FIN.
    pub(crate) fn truncate(&mut self) {
        // The connection may be gone already.
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// Closes with a reset.
    pub(crate) fn reset(&mut self) {
        SockRef::from(&self.socket).set_linger(Some(Duration::ZERO)).unwrap();
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
        let elsewhere = TcpStream::connect(nobody.local_addr().unwrap()).unwrap();
        drop(std::mem::replace(&mut self.socket, elsewhere));
        self.ending = Some(Ending::Reset);
    }

    /// Reads exactly so many bytes; fewer if the end comes before.
    pub(crate) fn read(&mut self, bytes: usize) -> Vec<u8> {
        while self.held.len() < bytes && self.ending.is_none() {
            self.fill();
        }
        self.held.drain(..bytes.min(self.held.len())).collect()
    }

    pub(crate) fn read_head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = self.read(1);
            assert_eq!(byte.len(), 1, "an end within a head: {}", head.escape_ascii());
            head.extend(byte);
        }
        String::from_utf8(head).unwrap()
    }

    /// Reads to the end; gives what came, and how it ended.
    pub(crate) fn read_to_end(&mut self) -> (Vec<u8>, Ending) {
        loop {
            if let Some(ending) = self.ending {
                return (std::mem::take(&mut self.held), ending);
            }
            self.fill();
        }
    }

    /// Reads what comes next, or notes the end.
    fn fill(&mut self) {
        let mut buffer = [0; 65_536];
        let count = loop {
            match self.socket.read(&mut buffer) {
                Ok(count) => break count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                    self.ending = Some(Ending::Reset);
                    return;
                }
                Err(error) => panic!("neither bytes nor an end came: {error}; so far {:02x?}", self.held),
            }
        };
        let Some(tls) = &mut self.tls else {
            self.held.extend_from_slice(&buffer[..count]);
            self.ending = (count == 0).then_some(Ending::Plain);
            return;
        };
        if count == 0 {
            let state = tls.process_new_packets();
            self.ending = Some(match state {
                Ok(state) if state.peer_has_closed() => Ending::Plain,
                Ok(_) => Ending::Bare,
                Err(rustls::Error::AlertReceived(alert)) => Ending::Alert(alert),
                Err(error) => panic!("records that are wrong: {error}"),
            });
            return;
        }
        let mut received = &buffer[..count];
        while !received.is_empty() {
            let taken = tls.read_tls(&mut received).unwrap();
            assert!(taken > 0, "bytes behind a close_notify");
            take_plaintext(tls, &mut self.held);
        }
        flush(tls, &mut self.socket);
    }
}

/// Opens what was received. An error is told again at the end of the connection.
fn take_plaintext(tls: &mut Connection, held: &mut Vec<u8>) {
    if let Ok(state) = tls.process_new_packets() {
        let begin = held.len();
        held.resize(begin + state.plaintext_bytes_to_read(), 0);
        tls.reader().read_exact(&mut held[begin..]).unwrap();
    }
}

/// Sends the records that are made; whether they were taken.
fn flush(tls: &mut Connection, socket: &mut TcpStream) -> bool {
    while tls.wants_write() {
        if tls.write_tls(socket).is_err() {
            return false;
        }
    }
    true
}
