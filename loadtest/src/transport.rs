//! A socket with or without TLS, and the buffers that all sockets of one thread share.

use crate::tls::channel::{Channel, Handshake, SEALED_BYTES};
use std::io::{Read, Result, Write};
use std::net::{Shutdown, TcpStream};

/// Bytes that are read at once.
const INCOMING_BYTES: usize = 256 * 1024;

/// Room for one read and one write.
#[derive(Debug)]
pub(crate) struct Buffers {
    incoming: Vec<u8>,
    /// Content of the records in `incoming`.
    plain: Vec<u8>,
    sealed: Vec<u8>,
}

impl Buffers {
    pub(crate) fn new(has_tls: bool) -> Self {
        let (plain, sealed) = if has_tls { (INCOMING_BYTES, SEALED_BYTES) } else { (0, 0) };
        Self { incoming: vec![0; INCOMING_BYTES], plain: vec![0; plain], sealed: vec![0; sealed] }
    }
}

/// The result of one read.
#[derive(Debug)]
pub(crate) struct Received<'a> {
    /// Content; it may be empty though the session goes on.
    pub(crate) bytes: &'a [u8],
    /// The socket has no more.
    pub(crate) is_all: bool,
    /// Nothing comes behind.
    pub(crate) is_over: bool,
}

/// A socket.
#[derive(Debug)]
pub(crate) struct Transport {
    stream: TcpStream,
    tls: Option<Box<Channel>>,
}

impl Transport {
    pub(crate) fn plain(stream: TcpStream) -> Self {
        Self { stream, tls: None }
    }

    pub(crate) fn tls(stream: TcpStream, channel: Channel) -> Self {
        Self { stream, tls: Some(Box::new(channel)) }
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// How the handshake went, once, when it is over.
    pub(crate) fn take_handshake(&mut self) -> Option<Handshake> {
        self.tls.as_mut()?.take_handshake()
    }

    /// Whether the socket is to be watched for writing, if there is more to write or not.
    pub(crate) fn wants_write(&self, has_more: bool) -> bool {
        self.tls.as_ref().map_or(has_more, |channel| channel.wants_write(has_more))
    }

    /// Reads once.
    ///
    /// # Errors
    /// The socket's, and a peer's that breaks the protocol.
    pub(crate) fn read<'a>(&mut self, buffers: &'a mut Buffers) -> Result<Received<'a>> {
        let Some(channel) = &mut self.tls else {
            let count = self.stream.read(&mut buffers.incoming)?;
            let is_all = count < buffers.incoming.len();
            return Ok(Received { bytes: &buffers.incoming[..count], is_all, is_over: count == 0 });
        };
        let held = channel.put_held(&mut buffers.incoming);
        let count = self.stream.read(&mut buffers.incoming[held..])?;
        let end = held + count;
        let is_all = end < buffers.incoming.len();
        let content = channel.take(&mut buffers.incoming[..end], &mut buffers.plain)?;
        // What came before the end is handled first; the socket's own end follows.
        let is_over = count == 0 || content == 0 && channel.has_ended();
        Ok(Received { bytes: &buffers.plain[..content], is_all, is_over })
    }

    /// Writes once; gives how many bytes were taken.
    ///
    /// # Errors
    /// The socket's.
    pub(crate) fn write(&mut self, bytes: &[u8], buffers: &mut Buffers) -> Result<usize> {
        match &mut self.tls {
            None => self.stream.write(bytes),
            Some(channel) => channel.write(&mut self.stream, bytes, &mut buffers.sealed),
        }
    }

    /// Writes what was taken and not written.
    ///
    /// # Errors
    /// The socket's.
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.tls.as_mut().map_or(Ok(()), |channel| channel.flush(&mut self.stream))
    }

    /// Says that this end sends no more, and means it.
    pub(crate) fn end_writing(&mut self, buffers: &mut Buffers) {
        self.say_goodbye(buffers);
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Says that this end sends no more; a socket without TLS says so when it is closed.
    pub(crate) fn say_goodbye(&mut self, buffers: &mut Buffers) {
        if let Some(channel) = &mut self.tls {
            // Whoever is gone need not hear it.
            let _ = channel.say_goodbye(&mut self.stream, &mut buffers.sealed);
        }
    }
}
