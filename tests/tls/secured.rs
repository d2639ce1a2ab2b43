//! Either end of a TLS connection, in the hands of a test.

use crate::pki::{Authority, client_config, provider};
use crate::support::PATIENCE;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

/// A client's end.
pub(crate) type Client = StreamOwned<ClientConnection, TcpStream>;

/// A backend's end.
pub(crate) type Server = StreamOwned<ServerConnection, TcpStream>;

fn with_patience(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// A client of `address` that asks for `name`.
pub(crate) fn connect(address: SocketAddr, config: &Arc<ClientConfig>, name: &str) -> Client {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connection = ClientConnection::new(Arc::clone(config), name).unwrap();
    StreamOwned::new(connection, with_patience(TcpStream::connect(address).unwrap()))
}

/// The configuration of a client that trusts `authority`.
pub(crate) fn trusting(authority: &Authority) -> Arc<ClientConfig> {
    Arc::new(client_config(&provider(), authority))
}

/// The backend's end of an accepted connection.
pub(crate) fn accept(stream: TcpStream, config: &Arc<ServerConfig>) -> Server {
    StreamOwned::new(ServerConnection::new(Arc::clone(config)).unwrap(), with_patience(stream))
}

/// Reads to the end of a head.
pub(crate) fn read_head(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "an end within a head: {}", head.escape_ascii());
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// Reads exactly these bytes.
pub(crate) fn expect(stream: &mut impl Read, bytes: &[u8]) {
    let mut got = vec![0; bytes.len()];
    stream.read_exact(&mut got).unwrap();
    assert!(got == bytes, "got {:02x?}", &got[..got.len().min(40)]);
}

/// Sends all of it.
pub(crate) fn send(stream: &mut impl Write, bytes: &[u8]) {
    stream.write_all(bytes).unwrap();
    stream.flush().unwrap();
}
