//! Ringgate's side against rustls' own connections, in memory.

mod backend;
mod interop;
mod listener;
pub(super) mod pki;
mod resumption;

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::{
    ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection, SupportedCipherSuite,
};

use super::handshake::{Finished, Handshake, HandshakeFault, Progress};
use super::record::{HeldRecord, LegRecords, RecordFault, Step};

/// The other end: rustls with its own record layer.
pub(super) struct Peer(pub(super) Connection);

impl Peer {
    pub(super) fn server(config: &Arc<ServerConfig>) -> Self {
        Self(ServerConnection::new(config.clone()).expect("a server").into())
    }

    pub(super) fn client(config: &Arc<ClientConfig>, name: &'static str) -> Self {
        let name = ServerName::try_from(name).expect("a name");
        Self(ClientConnection::new(config.clone(), name).expect("a client").into())
    }

    /// Takes the bytes that it wants to send.
    pub(super) fn give(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.0.wants_write() {
            self.0.write_tls(&mut bytes).expect("a vector takes all");
        }
        bytes
    }

    /// Takes what was sent to it; says what it heard and whether that was the clean end.
    pub(super) fn take(&mut self, mut bytes: &[u8]) -> Result<(Vec<u8>, bool), rustls::Error> {
        let (mut heard, mut is_closed) = (Vec::new(), false);
        loop {
            let taken = if bytes.is_empty() { 0 } else { self.0.read_tls(&mut bytes).expect("a slice") };
            is_closed |= self.0.process_new_packets()?.peer_has_closed();
            let mut part = vec![0; 64 * 1024];
            while let Ok(bytes @ 1..) = self.0.reader().read(&mut part) {
                heard.extend_from_slice(&part[..bytes]);
            }
            if taken == 0 {
                return Ok((heard, is_closed));
            }
        }
    }

    pub(super) fn say(&mut self, content: &[u8]) {
        self.0.writer().write_all(content).expect("a vector takes all");
    }
}

/// A handshake to its end, and the ciphertext that came behind it. Bytes pass `step` at a time.
pub(super) fn shake(
    mut handshake: Handshake,
    peer: &mut Peer,
    step: usize,
) -> Result<(Finished, Vec<u8>), HandshakeFault> {
    let (mut received, mut on_the_way) = (Vec::new(), Vec::new());
    for _ in 0..100_000 {
        let mut out = Vec::new();
        let progress = handshake.advance(&mut received, &mut out);
        let heard = peer.take(&out);
        on_the_way.extend(peer.give());
        if progress? == Progress::Done {
            received.extend(on_the_way);
            return Ok((handshake.finish()?, received));
        }
        // The peer's refusal shows in its alert; a test that wants its reason asks it.
        drop(heard);
        let next = step.min(on_the_way.len());
        received.extend(on_the_way.drain(..next));
    }
    panic!("the handshake does not end");
}

/// Ringgate's view of these bytes.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Heard {
    pub(super) plaintext: Vec<u8>,
    pub(super) tickets: Vec<Vec<u8>>,
    pub(super) end: Option<Result<Step, RecordFault>>,
}

/// Opens what came, which ends with a record's end.
pub(super) fn hear(records: &mut LegRecords, received: &mut [u8]) -> Heard {
    let (mut heard, mut at) = (Heard::default(), 0);
    loop {
        match records.open(received, &mut at) {
            Ok(Step::Plaintext(range)) => heard.plaintext.extend_from_slice(&received[range]),
            Ok(Step::Ticket(range)) => heard.tickets.push(received[range].to_vec()),
            Ok(Step::Done) => return heard,
            Ok(Step::Hold) => {
                let mut held: HeldRecord = records.held();
                let taken = held.fill(&received[at..]);
                panic!("a record is cut: {taken:?}, {held:?}");
            }
            end @ (Ok(Step::Closed | Step::Alert(_)) | Err(_)) => {
                heard.end = Some(end);
                return heard;
            }
        }
    }
}

/// Seals content as ringgate sends it.
pub(super) fn seal(records: &mut LegRecords, content: &[u8]) -> Vec<u8> {
    let mut out = vec![0; records.sealed_bytes(content.len())];
    assert_eq!(records.seal(&[content], &mut out), Ok(out.len()));
    out
}

/// Every suite that rustls has, alone in a provider.
pub(super) fn each_suite() -> impl Iterator<Item = (SupportedCipherSuite, Arc<CryptoProvider>)> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.cipher_suites.clone().into_iter().map(move |suite| {
        (suite, Arc::new(CryptoProvider { cipher_suites: vec![suite], ..provider.clone() }))
    })
}
