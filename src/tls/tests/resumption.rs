//! Connections that resume earlier ones.

use super::pki::{Authority, client_config, provider, server_config};
use super::*;

#[test]
fn tickets_that_a_backend_sends_resume_the_next_connection() {
    let authority = Authority::new("authority");
    let server = Arc::new(server_config(&provider(), &authority.leaf(&["localhost"])));
    for versions in [&[&rustls::version::TLS13], &[&rustls::version::TLS12]] {
        let config = ClientConfig::builder_with_provider(provider()).with_protocol_versions(versions);
        let config =
            config.expect("a version").with_root_certificates(authority.roots()).with_no_client_auth();
        for round in 0..3 {
            let mut peer = Peer::server(&server);
            let name = ServerName::try_from("localhost").expect("a name");
            let handshake = Handshake::with_backend(&config, name).expect("a handshake");
            let (mut finished, mut behind) = shake(handshake, &mut peer, usize::MAX).expect("a connection");
            assert_eq!(finished.is_resumed, round > 0, "{versions:?}");
            assert!(finished.peer_chain.is_some());
            for ticket in hear(&mut finished.records, &mut behind).tickets {
                finished.tickets.keep(&ticket);
            }
        }
    }
}

#[test]
fn a_ticket_that_is_none_is_dropped() {
    let authority = Authority::new("authority");
    let server = Arc::new(server_config(&provider(), &authority.leaf(&["localhost"])));
    let config = client_config(&provider(), &authority);
    let mut peer = Peer::server(&server);
    let name = ServerName::try_from("localhost").expect("a name");
    let handshake = Handshake::with_backend(&config, name).expect("a handshake");
    let (mut finished, _) = shake(handshake, &mut peer, usize::MAX).expect("a connection");
    finished.tickets.keep(b"no ticket");
    finished.tickets.keep(b"");
    assert_eq!(format!("{:?}", finished.tickets), "ReceivedTickets(false)");
}
