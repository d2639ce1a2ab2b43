//! Every row of the termination table that can stand after the 101, by whoever causes it, as both endpoints see it over real
//! sockets: both legs plain, both under TLS, and one of each.

use crate::gateway::{NAME, tls_line};
use crate::peer::{Ending, Peer};
use crate::pki::{Authority, provider, server_config};
use crate::secured::trusting;
use crate::support::backend::{Backend, switching};
use crate::support::frames::{client_frame, close_payload, server_frame};
use crate::support::raw::request;
use crate::support::{TestInstance, api_file, wait_until};
use ringgate::session::termination::Farewell;
use ringgate::session::{Cause, Leg, Phase};
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConfig, ClientConnection, ServerConfig, ServerConnection};
use socket2::{Domain, Socket, Type};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Which of the two legs are under TLS.
type Secured = [bool; 2];

const EVERY: [Secured; 4] = [[false, false], [true, true], [true, false], [false, true]];

/// A gateway, and what its two sides need.
struct Scene {
    gateway: TestInstance,
    backend: Backend,
    secured: Secured,
    client_config: Arc<ClientConfig>,
    server_config: Arc<ServerConfig>,
    _folder: TempDir,
}

impl Scene {
    fn start(secured: Secured, instance_lines: &str, api_lines: &str) -> Self {
        Self::start_with(Backend::new(), secured, instance_lines, api_lines)
    }

    fn start_with(backend: Backend, secured: Secured, instance_lines: &str, api_lines: &str) -> Self {
        let (authority, folder) = (Authority::new("ca"), TempDir::new().unwrap());
        let at = folder.path().display();
        std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        let trusts = if secured[1] { format!("tls = {{ ca = \"{at}/ca.pem\" }}") } else { String::new() };
        let scheme = if secured[0] { "wss" } else { "ws" };
        let lines = format!("schemes = [\"{scheme}\"]\non_revoke = \"close\"\n{api_lines}\n{trusts}");
        let mut api = api_file("t", backend.address, &lines);
        if secured[1] {
            api = api.replace("ws://", "wss://");
        }
        let listener =
            if secured[0] { tls_line(folder.path(), &authority.leaf(&[NAME]), "") } else { String::new() };
        let gateway =
            TestInstance::start_secured(&format!("workers = 1\n{instance_lines}"), &listener, &[("t", &api)]);
        let server_config = Arc::new(server_config(&provider(), &authority.leaf(&["127.0.0.1"])));
        let client_config = trusting(&authority);
        Self { gateway, backend, secured, client_config, server_config, _folder: folder }
    }

    /// A session: its client and its backend.
    fn open(&self) -> [Peer; 2] {
        self.open_with_room(None)
    }

    /// One whose client's system holds only so many bytes.
    fn open_with_room(&self, room: Option<usize>) -> [Peer; 2] {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        if let Some(bytes) = room {
            socket.set_recv_buffer_size(bytes).unwrap();
        }
        let address: SocketAddr = self.gateway.address;
        socket.connect(&address.into()).unwrap();
        let mut client = if self.secured[0] {
            let name = ServerName::try_from(NAME).unwrap();
            let connection = ClientConnection::new(Arc::clone(&self.client_config), name).unwrap();
            Peer::secured(socket.into(), connection.into())
        } else {
            Peer::plain(socket.into())
        };
        client.shake_hands();
        client.send(request("/t", "").as_bytes());
        let taken = self.backend.take().stream;
        let mut backend = if self.secured[1] {
            let connection = ServerConnection::new(Arc::clone(&self.server_config)).unwrap();
            Peer::secured(taken, connection.into())
        } else {
            Peer::plain(taken)
        };
        backend.shake_hands();
        let head = backend.read_head();
        backend.send(switching(&head, "").as_bytes());
        assert!(client.read_head().starts_with("HTTP/1.1 101 "));
        [client, backend]
    }

    /// Nothing is left, and each session ended for `cause`.
    fn end(self, cause: Cause, sessions: u64) {
        self.gateway.wait_for_terminations(cause, Phase::Relay, sessions);
        self.gateway.wait_for_rest();
        self.gateway.end();
    }
}

fn frame(from: Leg, first: u8, payload: &[u8]) -> Vec<u8> {
    match from {
        Leg::Downstream => client_frame(first, payload),
        Leg::Upstream => server_frame(first, payload),
    }
}

/// Reads a Close frame of ringgate's own; gives its payload.
fn read_close(peer: &mut Peer, leg: Leg) -> Vec<u8> {
    let head = peer.read(2);
    assert_eq!(head.first(), Some(&0x88), "a Close frame: {head:02x?}");
    let mask = if leg == Leg::Upstream { peer.read(4) } else { vec![0; 4] };
    assert_eq!(head[1] & 0x80 != 0, leg == Leg::Upstream, "masked towards the backend only");
    let payload = peer.read(usize::from(head[1] & 0x7f));
    payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key).collect()
}

/// How a cause is brought about.
enum Provoked {
    /// By what an endpoint does.
    By(fn(&mut Peer, Leg)),
    /// By ringgate itself, with these lines of the API's file, or when it is told to.
    ByRinggate(&'static str, fn(&mut TestInstance)),
    /// Not by a whole gateway: this test shows it.
    Elsewhere(&'static str),
    /// It cannot stand after the 101.
    Never,
}

/// The sizes that an API allows here.
const SIZES: &str = "frame_bytes_max = 20000\nmessage_bytes_max = 30000";

fn provoked(cause: Cause) -> Provoked {
    use Provoked::{By, ByRinggate, Elsewhere, Never};
    let nothing: fn(&mut TestInstance) = |_| {};
    match cause {
        Cause::Closed => By(|peer, leg| peer.send(&frame(leg, 0x88, &close_payload(4321, "enough")))),
        Cause::Ended => By(|peer, _| peer.finish()),
        Cause::Truncated => By(|peer, _| peer.truncate()),
        Cause::Reset => By(|peer, _| peer.reset()),
        Cause::RecordFault => By(|peer, _| peer.send_broken_record()),
        Cause::FrameFault => By(|peer, leg| peer.send(&frame(leg, 0x83, b"reserved"))),
        Cause::FrameTooBig => By(|peer, leg| peer.send(&frame(leg, 0x82, &[0; 20_001]))),
        Cause::MessageTooBig => By(|peer, leg| {
            // The first fragment passes: it is taken off the stream of the other leg below.
            peer.send(&frame(leg, 0x02, &[0; 20_000]));
            peer.send(&frame(leg, 0x80, &[0; 10_001]));
        }),
        Cause::Idle => ByRinggate("idle_timeout_s = 1", nothing),
        Cause::LongestLife => ByRinggate("longest_life_s = 1", nothing),
        Cause::Drain => ByRinggate("", |gateway| {
            gateway.instance.drain();
        }),
        Cause::Revoked => ByRinggate("", |gateway| gateway.publish(&[])),
        // Sockets with little room of their own.
        Cause::SlowReader => Elsewhere("slow_readers::a_slow_reader_is_reset_and_the_other_leg_ends_plainly"),
        // A loopback loses nobody.
        Cause::DeadPeer => Elsewhere("tests/checks/dead_peers"),
        Cause::Bug => Elsewhere("session::life::tests::farewells"),
        Cause::InstanceFull
        | Cause::ApiFull
        | Cause::ProductFull
        | Cause::SubscriptionFull
        | Cause::SourceFull
        | Cause::OpeningsFull
        | Cause::BackendBusy
        | Cause::NoLocalPort
        | Cause::HeadFault
        | Cause::TlsFault
        | Cause::NoApi
        | Cause::Key
        | Cause::RefusedByPolicy
        | Cause::BackendRefused
        | Cause::BackendTls
        | Cause::BackendAnswer
        | Cause::BackendSilent
        | Cause::ClientGone => Never,
    }
}

/// Whether it takes records to bring a cause about.
fn needs_records(cause: Cause) -> bool {
    matches!(cause, Cause::Truncated | Cause::RecordFault)
}

/// Exchanges bytes before the cause: they reach the other side whole, before the end.
fn exchange(peers: &mut [Peer; 2]) {
    for leg in Leg::BOTH {
        let data = frame(leg, 0x82, &[leg as u8; 300]);
        peers[leg as usize].send(&data);
        assert_eq!(peers[leg.other() as usize].read(data.len()), data);
    }
}

/// `leg` sees what the table says; `last_words` is what the other one sent last.
fn expect_farewell(peer: &mut Peer, leg: Leg, cause: Cause, by: Option<Leg>, last_words: &[u8]) {
    match cause.farewell(leg, by) {
        Farewell::Close(code) => {
            let payload = close_payload(code.number(), cause.close_reason(code));
            assert_eq!(read_close(peer, leg), payload);
        }
        Farewell::AsItCame => assert_eq!(peer.read(last_words.len()), last_words),
        Farewell::PlainEnd => assert_eq!(peer.read_to_end(), (vec![], Ending::Plain)),
        Farewell::BareFin => {
            let ending = if peer.is_secured() { Ending::Bare } else { Ending::Plain };
            assert_eq!(peer.read_to_end(), (vec![], ending));
        }
        Farewell::Alert => {
            let alert = AlertDescription::BadRecordMac;
            assert_eq!(peer.read_to_end(), (vec![], Ending::Alert(alert)));
        }
        Farewell::Reset => assert_eq!(peer.read_to_end().1, Ending::Reset),
        Farewell::Nothing => {}
        Farewell::LastClose(_) => panic!("no time would be left for anything to be seen"),
    }
}

/// Both endpoints end now, if they have not; whoever was not told anything before sees the other one's end.
fn end_both(peers: &mut [Peer; 2], cause: Cause, by: Option<Leg>) {
    for leg in Leg::BOTH {
        if !matches!(cause, Cause::Ended | Cause::Truncated | Cause::Reset) || by != Some(leg) {
            peers[leg as usize].finish();
        }
    }
    for leg in Leg::BOTH {
        let told = cause.farewell(leg, by);
        if matches!(told, Farewell::Close(_) | Farewell::AsItCame | Farewell::Nothing)
            && cause != Cause::Reset
        {
            assert_eq!(peers[leg as usize].read_to_end(), (vec![], Ending::Plain), "{leg:?}");
        }
    }
}

#[test]
fn both_endpoints_see_what_the_table_says_for_every_cause() {
    for cause in Cause::ALL {
        for secured in EVERY {
            println!("{}, under TLS: {secured:?}", cause.name());
            match provoked(cause) {
                Provoked::By(provoke) => by_an_endpoint(cause, secured, provoke),
                Provoked::ByRinggate(lines, provoke) => by_ringgate(cause, secured, lines, provoke),
                Provoked::Elsewhere(test) => println!("  see {test}"),
                Provoked::Never => {
                    for (leg, by) in [(Leg::Downstream, None), (Leg::Upstream, None)] {
                        assert_eq!(cause.farewell(leg, by), Farewell::Nothing, "{}", cause.name());
                    }
                }
            }
        }
    }
}

fn by_an_endpoint(cause: Cause, secured: Secured, provoke: fn(&mut Peer, Leg)) {
    let culprits: Vec<_> =
        Leg::BOTH.into_iter().filter(|by| secured[*by as usize] || !needs_records(cause)).collect();
    let scene = Scene::start(secured, "", SIZES);
    for by in &culprits {
        println!("  by {}", by.name());
        let mut peers = scene.open();
        exchange(&mut peers);
        provoke(&mut peers[*by as usize], *by);
        if cause == Cause::MessageTooBig {
            let fragment = frame(*by, 0x02, &[0; 20_000]);
            assert_eq!(peers[by.other() as usize].read(fragment.len()), fragment);
        }
        let last_words = frame(*by, 0x88, &close_payload(4321, "enough"));
        for leg in [by.other(), *by] {
            expect_farewell(&mut peers[leg as usize], leg, cause, Some(*by), &last_words);
        }
        end_both(&mut peers, cause, Some(*by));
    }
    scene.end(cause, culprits.len() as u64);
}

fn by_ringgate(cause: Cause, secured: Secured, api_lines: &str, provoke: fn(&mut TestInstance)) {
    let mut scene = Scene::start(secured, "", api_lines);
    let mut peers = scene.open();
    exchange(&mut peers);
    provoke(&mut scene.gateway);
    for leg in Leg::BOTH {
        expect_farewell(&mut peers[leg as usize], leg, cause, None, b"");
    }
    end_both(&mut peers, cause, None);
    scene.end(cause, 1);
}

#[test]
fn what_is_cut_is_told_1001_at_a_boundary_and_ends_plainly_within_a_frame() {
    for secured in EVERY {
        // Without any time for a drain, all sessions are cut when it begins.
        let scene = Scene::start(secured, "drain_s = 0", "");
        for inside in [None, Some(Leg::Downstream), Some(Leg::Upstream)] {
            println!("under TLS: {secured:?}, within a frame: {inside:?}");
        }
        let mut sessions: Vec<_> = [None, Some(Leg::Downstream), Some(Leg::Upstream)]
            .into_iter()
            .map(|inside| {
                let mut peers = scene.open();
                exchange(&mut peers);
                if let Some(leg) = inside {
                    let part = &frame(leg, 0x82, &[1; 300])[..200];
                    peers[leg as usize].send(part);
                    assert_eq!(peers[leg.other() as usize].read(200), part);
                }
                (inside, peers)
            })
            .collect();
        scene.gateway.instance.drain();
        for (inside, peers) in &mut sessions {
            for leg in Leg::BOTH {
                let peer = &mut peers[leg as usize];
                if *inside != Some(leg.other()) {
                    assert_eq!(read_close(peer, leg), close_payload(1001, "drain"), "{inside:?}, {leg:?}");
                }
                assert_eq!(peer.read_to_end(), (vec![], Ending::Plain), "{inside:?}, {leg:?}");
            }
        }
        drop(sessions);
        scene.end(Cause::Drain, 3);
    }
}

#[test]
fn after_an_end_the_other_direction_goes_on_while_bytes_move_and_ends_after_silence() {
    for secured in EVERY {
        let scene = Scene::start(secured, "", "linger_s = 1");
        for by in Leg::BOTH {
            println!("under TLS: {secured:?}, by {}", by.name());
            let mut peers = scene.open();
            exchange(&mut peers);
            let [mut listener, mut sender] = {
                let [client, backend] = peers;
                if by == Leg::Downstream { [client, backend] } else { [backend, client] }
            };
            listener.finish();
            assert_eq!(sender.read_to_end(), (vec![], Ending::Plain));
            let begun = Instant::now();
            let data = frame(by.other(), 0x82, &[9; 5_000]);
            // For longer than the linger time; each frame is seen before the next one is sent.
            while begun.elapsed() < Duration::from_millis(1_800) {
                sender.send(&data);
                assert_eq!(listener.read(data.len()), data);
                std::thread::park_timeout(Duration::from_millis(50));
            }
            let silent = Instant::now();
            assert_eq!(listener.read_to_end(), (vec![], Ending::Plain));
            assert!(silent.elapsed() >= Duration::from_millis(900), "{:?}", silent.elapsed());
        }
        scene.end(Cause::Ended, 2);
    }
}

#[test]
fn a_reader_that_is_slow_at_the_end_gets_all_and_then_the_end() {
    for secured in EVERY {
        let scene = Scene::start_with(Backend::with_room(4096), secured, "", "linger_s = 1");
        for by in Leg::BOTH {
            println!("under TLS: {secured:?}, by {}", by.name());
            let mut peers = Vec::from(scene.open_with_room(Some(4096)));
            let mut reader = peers.remove(by.other() as usize);
            let mut sender = peers.remove(0);
            let data = frame(by, 0x82, &[3; 50_000]).repeat(40);
            let writer = std::thread::spawn({
                let data = data.clone();
                move || {
                    sender.send(&data);
                    sender.finish();
                    sender
                }
            });
            let mut came = Vec::new();
            let begun = Instant::now();
            // A little at a time, for longer than the linger time.
            while begun.elapsed() < Duration::from_millis(1_800) && came.len() < data.len() / 2 {
                came.extend(reader.read(10_000));
                std::thread::park_timeout(Duration::from_millis(20));
            }
            let (rest, ending) = reader.read_to_end();
            came.extend(rest);
            assert!(came == data, "{} of {} bytes", came.len(), data.len());
            assert_eq!(ending, Ending::Plain);
            reader.finish();
            assert_eq!(writer.join().unwrap().read_to_end(), (vec![], Ending::Plain));
        }
        scene.end(Cause::Ended, 2);
    }
}

#[test]
fn a_client_that_has_closed_and_is_sent_more_is_a_reset_for_its_backend() {
    for secured in EVERY {
        let scene = Scene::start(secured, "", "linger_s = 60");
        let [mut client, mut backend] = scene.open();
        client.send(&client_frame(0x81, b"last"));
        client.finish();
        // Its system answers what still comes with a reset.
        drop(client);
        assert_eq!(backend.read_to_end(), (client_frame(0x81, b"last"), Ending::Plain));
        let data = server_frame(0x82, &[1; 1_000]);
        wait_until("a reset", || !backend.try_send(&data));
        drop(backend);
        scene.end(Cause::Ended, 1);
    }
}
