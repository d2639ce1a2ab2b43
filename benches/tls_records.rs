//! The cost of a record: sealed, and opened in place.
//!
//! 64 B is a small message, 1 KiB a usual one, 16 KiB the most that a record holds.

#![allow(missing_docs, clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ringgate::tls::record::{DirectionState, LegRecords, Role, Step, Suite, Version};
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::ConnectionState;
use std::sync::Arc;

fn leg(suite: Suite, role: Role) -> LegRecords {
    let direction = || match suite.version {
        Version::Tls13 => DirectionState::from_secret(suite, &vec![7; suite.secret_bytes()], 0),
        Version::Tls12 => DirectionState::from_keys(suite, &vec![7; suite.aead.key_bytes()], [7; 12], 1),
    };
    LegRecords::new(role, direction().unwrap(), direction().unwrap())
}

fn records(criterion: &mut Criterion) {
    for suite in Suite::ALL.into_iter().filter(|suite| suite.version == Version::Tls13) {
        for content_bytes in [64, 1024, 16 * 1024] {
            let content = vec![0x5a; content_bytes];
            let mut group = criterion.benchmark_group(format!("{:?}/{content_bytes}", suite.aead));
            group.throughput(Throughput::Bytes(content_bytes as u64));

            let mut sender = leg(suite, Role::Client);
            let mut out = vec![0; sender.sealed_bytes(content_bytes)];
            group.bench_function("seal", |bencher| {
                bencher.iter(|| sender.seal(&[&content], &mut out).unwrap());
            });
            let pieces = content.split_at(content_bytes / 3);
            group.bench_function("seal in two pieces", |bencher| {
                bencher.iter(|| sender.seal(&[pieces.0, pieces.1], &mut out).unwrap());
            });
            // The receiver goes with the sender's numbers: each record is made anew, outside of what is measured.
            let (mut sender, mut receiver) = (leg(suite, Role::Client), leg(suite, Role::Server));
            group.bench_function("open", |bencher| {
                let make = || {
                    let mut out = vec![0; sender.sealed_bytes(content_bytes)];
                    sender.seal(&[&content], &mut out).unwrap();
                    out
                };
                bencher.iter_batched_ref(
                    make,
                    |record| {
                        let step = receiver.open(record, &mut 0).unwrap();
                        assert!(matches!(step, Step::Plaintext(_)));
                    },
                    BatchSize::SmallInput,
                );
            });
            let mut idle = leg(suite, Role::Client);
            group.bench_function("seal after a rest", |bencher| {
                bencher.iter(|| {
                    idle.rest();
                    idle.seal(&[&content], &mut out).unwrap()
                });
            });
            group.finish();
        }
    }
}

/// The same by rustls' unbuffered connections.
fn rustls_connections(criterion: &mut Criterion) {
    for content_bytes in [64, 1024, 16 * 1024] {
        let content = vec![0x5a; content_bytes];
        let mut group = criterion.benchmark_group(format!("rustls/{content_bytes}"));
        group.throughput(Throughput::Bytes(content_bytes as u64));
        let (mut client, _) = connected();
        let mut out = vec![0; content_bytes + 64];
        group.bench_function("seal", |bencher| bencher.iter(|| say(&mut client, &content, &mut out)));
        let (mut client, mut server) = connected();
        group.bench_function("open", |bencher| {
            let make = || {
                let mut out = vec![0; content_bytes + 64];
                let bytes = say(&mut client, &content, &mut out);
                out.truncate(bytes);
                out
            };
            bencher.iter_batched_ref(
                make,
                |record| match server.process_tls_records(record).state.unwrap() {
                    ConnectionState::ReadTraffic(mut traffic) => {
                        assert_eq!(traffic.next_record().unwrap().unwrap().payload.len(), content_bytes);
                    }
                    other => panic!("{other:?}"),
                },
                BatchSize::SmallInput,
            );
        });
        group.finish();
    }
}

fn say(client: &mut UnbufferedClientConnection, content: &[u8], out: &mut [u8]) -> usize {
    loop {
        match client.process_tls_records(&mut []).state.unwrap() {
            ConnectionState::EncodeTlsData(mut data) => return data.encode(out).unwrap(),
            ConnectionState::TransmitTlsData(data) => data.done(),
            ConnectionState::WriteTraffic(mut traffic) => return traffic.encrypt(content, out).unwrap(),
            other => panic!("{other:?}"),
        }
    }
}

fn connected() -> (UnbufferedClientConnection, UnbufferedServerConnection) {
    let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(issued.signing_key.serialize_der().into());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(issued.cert.der().clone()).unwrap();
    let suite = rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let provider = Arc::new(rustls::crypto::CryptoProvider { cipher_suites: vec![suite], ..provider });
    let server = rustls::ServerConfig::builder_with_provider(provider.clone());
    let server = server.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let mut server = server.with_single_cert(vec![issued.cert.der().clone()], key).unwrap();
    server.send_tls13_tickets = 0;
    let client = rustls::ClientConfig::builder_with_provider(provider);
    let client = client.with_safe_default_protocol_versions().unwrap();
    let client = client.with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = UnbufferedClientConnection::new(Arc::new(client), name).unwrap();
    let mut server = UnbufferedServerConnection::new(Arc::new(server)).unwrap();
    let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
    while client.is_handshaking() || server.is_handshaking() || !to_server.is_empty() {
        let status = client.process_tls_records(&mut to_client);
        let discard = status.discard;
        answer(status.state.unwrap(), &mut to_server);
        to_client.drain(..discard);
        let status = server.process_tls_records(&mut to_server);
        let discard = status.discard;
        answer(status.state.unwrap(), &mut to_client);
        to_server.drain(..discard);
    }
    (client, server)
}

fn answer<Data>(state: ConnectionState<'_, '_, Data>, out: &mut Vec<u8>) {
    match state {
        ConnectionState::EncodeTlsData(mut data) => {
            let start = out.len();
            out.resize(start + 8192, 0);
            let bytes = data.encode(&mut out[start..]).unwrap();
            out.truncate(start + bytes);
        }
        ConnectionState::TransmitTlsData(data) => data.done(),
        _ => {}
    }
}

criterion_group!(benches, records, rustls_connections);
criterion_main!(benches);
