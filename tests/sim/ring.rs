//! The simulated ring: operations, completions and cancels as io_uring has them, out of order and at odd moments.
//!
//! It keeps its own books of what is in flight, and fails where the relay breaks a rule that the kernel would not forgive.
//!
//! Not here: what a connection says (`connection`), and what is checked between two turns (`checks`).

use super::arrivals::Arrivals;
use super::forged::Forged;
use super::operation::{CompletionQueue, Entry, InFlight, Kind, Lent, PipeContent, Posted, Sending};
use super::world::{Fault, Shared, SimSocket};
use ringgate::limits::{BUFFER_BYTES, BUFFER_HEADROOM_BYTES, SEND_PIECES_MAX};
use ringgate::ring::{
    BufferPool, Chunk, Completion, Operation, PeerState, Pipe, Ring, RingError, SendQueue, Token,
};
use ringgate::session::Moment;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::os::fd::OwnedFd;

/// How often things go otherwise than one would wish, in percent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Odds {
    /// An operation that could go on does not, for now.
    pub waits: u8,
    /// A receive gives less than there is.
    pub short_receive: u8,
    /// A multishot receive ends, for no reason; in one case of four with nothing but EINTR.
    pub receive_ends: u8,
    /// A send takes only part of what it could, for now.
    pub short_step: u8,
    /// A send ends before all is sent, for no reason, perhaps with nothing but EINTR.
    pub short_send: u8,
    /// A send is tried at once, before it becomes an operation.
    pub at_once: u8,
    /// A cancel finds nothing although the operation goes on.
    pub cancel_misses: u8,
    /// A cancel comes too late: the operation completes all the same.
    pub cancel_is_late: u8,
    /// Completions change places, and the relay is told of some only.
    pub reorders: u8,
    /// A connection breaks while it sends, in permille.
    pub breaks: u8,
    /// An operation fails although its connection is in order, in permille.
    pub fails: u8,
}

/// The ring, its pool, and its books.
pub struct SimRing {
    pub world: Shared,
    pub odds: Odds,
    pub pool: BufferPool,
    posted_max: usize,
    pub posted: VecDeque<u16>,
    /// Where each buffer lies, once it is known.
    addresses: BTreeMap<u16, usize>,
    pub submissions: Vec<Entry>,
    serial: u64,
    pub in_flight: BTreeMap<u64, InFlight>,
    pub completions: CompletionQueue,
    /// Sends that the relay was told of and has to take back, in order.
    to_take_back: VecDeque<(i32, Sending)>,
    /// Memory of sends that are over, with the kernel.
    pub lent: Vec<Lent>,
    /// Memory that the relay was told to take back.
    given_back: VecDeque<Sending>,
    pub pipes: Vec<PipeContent>,
    has_pipes: bool,
    /// Operations of each user of a slot whose last completion the relay was not told.
    pub open: BTreeMap<(u32, u32), u32>,
    /// The connection that each carrier stands for.
    names: BTreeMap<(u32, u32), usize>,
    pub arrivals: Arrivals,
    /// The most bytes that one multishot receive brings.
    pub receive_bytes_max: Option<usize>,
    /// The connections in line that were read at once in this turn, in order.
    pub read_at_once: Vec<usize>,
    /// Those that were read at once in this turn because they had found no buffer, in order.
    pub read_parked: Vec<usize>,
    /// Bytes that were read at once in this turn: of connections in line, and of those that had found no buffer.
    pub bytes_at_once: [usize; 2],
    /// The connections whose last receive found no buffer.
    pub starved: BTreeSet<usize>,
    /// Bytes that the relay was told of in this turn, by connection.
    pub told_bytes: BTreeMap<usize, usize>,
    /// Greedy legs wait for their turn.
    pub has_line: bool,
    /// Receives wait for buffers, and there are some.
    pub has_needless_wait: bool,
    /// Completions that cannot be, for the relay in the next turn before all others.
    pub forged: Vec<Forged>,
    /// The next send to this connection that is over says that it sent far more than there was.
    pub overstates: Option<usize>,
    /// The ring fails as a whole.
    pub is_dead: bool,
    pub wake_up: OwnedFd,
}

/// The carrier that a token is about, by slot and generation.
fn carrier_of(token: u64) -> (u32, u32) {
    let token = Token::from_bits(token);
    (token.slot(), token.generation())
}

impl SimRing {
    /// A ring of which at most `posted_max` of `buffers` are posted.
    pub fn new(world: &Shared, odds: Odds, buffers: u16, posted_max: usize, arrivals: Arrivals) -> Self {
        let wake_up = arrivals.mailbox.wake_up().expect("a descriptor is left");
        Self {
            world: world.clone(),
            odds,
            pool: BufferPool::new(buffers).expect("the pool can be mapped"),
            posted_max,
            posted: VecDeque::new(),
            addresses: BTreeMap::new(),
            submissions: Vec::new(),
            serial: 0,
            in_flight: BTreeMap::new(),
            completions: CompletionQueue::default(),
            to_take_back: VecDeque::new(),
            lent: Vec::new(),
            given_back: VecDeque::new(),
            pipes: Vec::new(),
            has_pipes: false,
            open: BTreeMap::new(),
            names: BTreeMap::new(),
            arrivals,
            receive_bytes_max: None,
            read_at_once: Vec::new(),
            read_parked: Vec::new(),
            bytes_at_once: [0, 0],
            starved: BTreeSet::new(),
            told_bytes: BTreeMap::new(),
            has_line: false,
            has_needless_wait: false,
            forged: Vec::new(),
            overstates: None,
            is_dead: false,
            wake_up,
        }
    }

    /// Whether one in a hundred times `percent` comes up.
    pub fn draws(&self, percent: u8) -> bool {
        percent > 0 && self.world.borrow_mut().rng.u8(..100) < percent
    }

    pub fn draws_permille(&self, permille: u8) -> bool {
        permille > 0 && self.world.borrow_mut().rng.u16(..1000) < u16::from(permille)
    }

    pub fn now_ms(&self) -> u64 {
        self.world.borrow().now
    }

    pub fn note(&self, what: &'static str, connection: usize, value: i64) {
        let mut world = self.world.borrow_mut();
        let now = world.now;
        world.trace.note(now, what, connection, value);
    }

    /// The relay starts an operation.
    fn start(&mut self, connection: usize, token: Token, kind: Kind) {
        let name = carrier_of(token.to_bits());
        let named = *self.names.entry(name).or_insert(connection);
        assert_eq!(named, connection, "{token:?} names connection {named} and connection {connection}");
        {
            let mut world = self.world.borrow_mut();
            let session = &world.sessions[connection / 2];
            assert!(!session.is_over, "an operation starts in session {}, which is over", connection / 2);
            let connection = &mut world.connections[connection];
            assert!(!connection.is_closed, "an operation starts on a closed socket: {token:?}");
            connection.in_flight += 1;
        }
        let bits = token.to_bits();
        self.serial += 1;
        let operation = InFlight {
            serial: self.serial,
            connection,
            kind,
            is_finishing: false,
            cancels: 0,
            holds_buffers_since: None,
        };
        let before = self.in_flight.insert(bits, operation);
        assert!(before.is_none(), "two operations of one name are in flight: {token:?}");
        let is_posted =
            self.completions.iter().any(|posted| posted.token == bits && posted.given_back.is_none());
        assert!(!is_posted, "an operation starts before the last completion of the one before: {token:?}");
        *self.open.entry(carrier_of(bits)).or_default() += 1;
        self.submissions.push(Entry::Start { token: bits });
    }

    fn top_up(&mut self) {
        while self.pool.posted() < self.posted_max {
            let Some(index) = self.pool.take_to_post() else { break };
            assert!(!self.posted.contains(&index), "buffer {index} is posted twice");
            if let Some(address) = self.addresses.get(&index) {
                let buffer = *address..*address + BUFFER_BYTES + BUFFER_HEADROOM_BYTES;
                let is_sent = |operation: &InFlight| match &operation.kind {
                    Kind::Receive { .. } | Kind::AwaitBytes | Kind::AwaitRoom | Kind::AwaitBreak => false,
                    Kind::Send(sending) => sending.pieces.iter().any(|(at, _)| buffer.contains(at)),
                };
                let sender = self.in_flight.values().find(|operation| is_sent(operation));
                if let Some(operation) = sender {
                    panic!("buffer {index} is posted while connection {} sends it", operation.connection);
                }
                let is_lent = |lent: &Lent| lent.sending.pieces.iter().any(|(at, _)| buffer.contains(at));
                if let Some(lent) = self.lent.iter().find(|lent| is_lent(lent)) {
                    panic!("buffer {index} is posted while it is lent for connection {}", lent.connection);
                }
            }
            self.posted.push_back(index);
        }
    }

    /// Tells the relay a completion.
    fn tell(&mut self, posted: Posted) -> Completion {
        let is_over = posted.ends_its_operation();
        let Posted { token, result, has_more, buffer, target, sent, given_back, connection, is_wait } =
            posted;
        if let Some((target, serial)) = target
            && let Some(operation) = self.in_flight.get_mut(&target)
            && operation.serial == serial
        {
            operation.cancels -= 1;
        }
        if is_over && Token::from_bits(token).operation() != Operation::Mailbox {
            let open = self.open.get_mut(&carrier_of(token)).expect("an operation that was asked for");
            *open -= 1;
        }
        let given_back = given_back.map(|(sending, how)| {
            self.given_back.push_back(sending);
            how
        });
        // A send that was to lend its bytes and failed before it began is made again as one that copies, unless its connection is over.
        let is_copied_instead =
            result == -libc::ENOMEM && !has_more && sent.as_ref().is_some_and(|sending| sending.lends);
        if let Some(sending) = sent {
            self.to_take_back.push_back((if is_wait { result.min(0) } else { result }, sending));
        }
        let mut world = self.world.borrow_mut();
        if let Some(id) = connection {
            let now = world.now;
            let connection = &mut world.connections[id];
            connection.in_flight -= 1;
            let is_send = Token::from_bits(token).operation() == Operation::Send;
            let is_watch = Token::from_bits(token).operation() == Operation::Watch;
            let is_failure = result < 0 && ![libc::ECANCELED, libc::EINTR].contains(&-result);
            // A poll for errors tells of none by failing: it is armed again.
            if is_failure && result != -libc::ENOBUFS && !is_watch && !is_copied_instead {
                connection.failed_at.get_or_insert(now);
            }
            if result == -libc::ENOBUFS && Token::from_bits(token).operation() == Operation::Receive {
                self.starved.insert(id);
            }
            if !is_send && !is_watch && (result == 0 || (is_failure && result != -libc::ENOBUFS)) {
                world.tell_end(id);
            }
        }
        let id = self.names.get(&carrier_of(token)).copied();
        // The mailbox has no slot: its token looks like one of the first.
        let moves_bytes = result > 0 && !is_wait && Token::from_bits(token).operation() != Operation::Mailbox;
        if let Some(id) = id.filter(|_| moves_bytes) {
            let now = world.now;
            world.move_bytes(id);
            if Token::from_bits(token).operation() == Operation::Receive {
                world.connections[id].heard_at = now;
                *self.told_bytes.entry(id).or_default() += result as usize;
            }
        }
        let chunk = buffer.and_then(|index| self.pool.take_received(index, result.max(0) as usize));
        if let Some(chunk) = &chunk {
            let address = self.pool.bytes(chunk).as_ptr() as usize - BUFFER_HEADROOM_BYTES;
            self.addresses.insert(chunk.index(), address);
            if world.takes_fault(Fault::LosesABuffer)
                && let Some(index) = self.pool.take_to_post()
            {
                // It is taken, and nobody has it.
                let _lost: Option<Chunk> = self.pool.take_received(index, 1);
            }
        }
        Completion { token: Token::from_bits(token), result, has_more, chunk, given_back }
    }

    /// Whether a completion of an operation waits to be told.
    pub fn is_over_untold(&self, token: u64) -> bool {
        self.completions.iter().any(|posted| posted.token == token && posted.ends_its_operation())
    }

    /// Buffers that the kernel may write to, or has written to and not told of.
    pub fn held_by_kernel(&self) -> impl Iterator<Item = u16> {
        self.posted.iter().copied().chain(self.completions.iter().filter_map(|posted| posted.buffer))
    }

    pub fn simulated_pool(&self) -> &BufferPool {
        &self.pool
    }
}

impl Ring for SimRing {
    type Socket = SimSocket;

    fn pool(&mut self) -> &mut BufferPool {
        &mut self.pool
    }

    fn now(&mut self) -> Moment {
        Moment::from_millis(self.now_ms())
    }

    fn receive(&mut self, socket: &SimSocket, token: Token) {
        assert_eq!(token.operation(), Operation::Receive);
        self.note("relay arms", socket.id, 0);
        self.starved.remove(&socket.id);
        let left = self.receive_bytes_max;
        self.start(socket.id, token, Kind::Receive { once: None, left });
    }

    fn receive_once(&mut self, socket: &SimSocket, bytes_max: u32, token: Token) {
        assert_eq!(token.operation(), Operation::Receive);
        self.note("relay arms once", socket.id, bytes_max.into());
        self.starved.remove(&socket.id);
        self.start(socket.id, token, Kind::Receive { once: Some(bytes_max as usize), left: None });
    }

    fn receive_now(&mut self, socket: &SimSocket, bytes_max: usize) -> Result<Chunk, i32> {
        self.receive_at_once(socket.id, bytes_max)
    }

    fn await_bytes(&mut self, socket: &SimSocket, token: Token) {
        assert_eq!(token.operation(), Operation::Receive);
        self.note("relay awaits bytes", socket.id, 0);
        self.start(socket.id, token, Kind::AwaitBytes);
    }

    fn await_room(&mut self, socket: &SimSocket, queue: &mut SendQueue, token: Token) {
        assert_eq!(token.operation(), Operation::Send);
        assert!(!queue.is_in_flight(), "room is awaited while a send is in flight");
        self.note("relay awaits room", socket.id, 0);
        queue.begin_wait();
        self.start(socket.id, token, Kind::AwaitRoom);
    }

    fn await_break(&mut self, socket: &SimSocket, token: Token) {
        assert_eq!(token.operation(), Operation::Watch);
        let is_read = |operation: &InFlight| {
            operation.connection == socket.id
                && matches!(operation.kind, Kind::Receive { .. } | Kind::AwaitBytes)
        };
        assert!(
            !self.in_flight.values().any(is_read),
            "connection {} is polled while it is received",
            socket.id
        );
        self.note("relay polls for errors", socket.id, 0);
        self.start(socket.id, token, Kind::AwaitBreak);
    }

    fn take_error(&mut self, socket: &SimSocket) -> i32 {
        let mut world = self.world.borrow_mut();
        let now = world.now;
        let connection = &mut world.connections[socket.id];
        if connection.is_broken {
            connection.failed_at.get_or_insert(now);
            connection.is_end_told = true;
            world.hidden_breaks += 1;
        }
        world.connections[socket.id].error.take().unwrap_or(0)
    }

    fn peer_state(&mut self, socket: &SimSocket) -> PeerState {
        let mut world = self.world.borrow_mut();
        let now = world.now;
        // Of a live peer's probes one is answered in each half of the time-out.
        let most = world.dead_peer_timeout_ms.unwrap_or(1_000) / 2;
        let lately = world.rng.u64(..=most);
        world.connections[socket.id].peer_state(lately, now)
    }

    fn open_pipes(&mut self) {
        self.has_pipes = true;
    }

    fn take_pipe(&mut self) -> Option<Pipe> {
        assert!(self.has_pipes, "a pipe is taken that was not opened");
        if self.draws(self.odds.waits / 4) {
            return None;
        }
        let free = self.pipes.iter().position(|pipe| !pipe.is_taken);
        let number = free.unwrap_or_else(|| {
            self.pipes.push(PipeContent::default());
            self.pipes.len() - 1
        });
        self.pipes[number].is_taken = true;
        Some(Pipe::new(number as u16))
    }

    fn return_pipe(&mut self, pipe: Pipe) {
        let content = &mut self.pipes[usize::from(pipe.number())];
        assert!(
            content.is_taken && content.bytes.len() == pipe.bytes(),
            "a pipe is returned that was not taken"
        );
        *content = PipeContent::default();
    }

    fn splice_in(&mut self, socket: &SimSocket, pipe: &mut Pipe, bytes_max: usize) -> i32 {
        self.splice_into(socket.id, pipe, bytes_max)
    }

    fn splice_out(&mut self, socket: &SimSocket, pipe: &mut Pipe) -> i32 {
        self.splice_from(socket.id, pipe)
    }

    fn send(&mut self, socket: &SimSocket, queue: &mut SendQueue, token: Token) -> Option<i32> {
        assert_eq!(token.operation(), Operation::Send);
        assert!(!queue.is_in_flight() && !queue.is_empty(), "a send of nothing, or a second one");
        let (mut bytes, mut pieces) = (Vec::new(), Vec::new());
        queue.for_each_piece(&self.pool, SEND_PIECES_MAX, |piece| {
            bytes.extend_from_slice(piece);
            pieces.push((piece.as_ptr() as usize, piece.len()));
        });
        {
            let mut world = self.world.borrow_mut();
            let connection = &world.connections[socket.id];
            assert!(!connection.is_shut, "a send on connection {}, which was shut down", socket.id);
            assert!(!connection.resets_on_close, "a send on connection {}, which is to be reset", socket.id);
            if pieces.len() > 1 && world.takes_fault(Fault::SwapsTwoPieces) {
                bytes.rotate_left(pieces[0].1);
            }
            if world.takes_fault(Fault::SendsTwice) {
                bytes.extend_from_within(..pieces[0].1);
            }
        }
        self.note("relay sends", socket.id, bytes.len() as i64);
        queue.begin_simulated_send();
        if self.draws(self.odds.at_once)
            && let Some(result) = self.send_at_once(socket.id, &bytes)
        {
            self.note("relay sent at once", socket.id, result.into());
            queue.end_simulated_send(&mut self.pool, result.max(0) as usize);
            return Some(result);
        }
        self.start(socket.id, token, Kind::Send(Sending { bytes, pieces, done: 0, lends: false }));
        None
    }

    fn send_zero_copy(&mut self, socket: &SimSocket, queue: &mut SendQueue, token: Token) {
        assert!(!queue.is_in_flight() && !queue.has_lent(), "a second send, or a second one that lends");
        let (mut bytes, mut pieces) = (Vec::new(), Vec::new());
        queue.for_each_lendable(&self.pool, SEND_PIECES_MAX, |piece| {
            bytes.extend_from_slice(piece);
            pieces.push((piece.as_ptr() as usize, piece.len()));
        });
        assert!(!pieces.is_empty(), "a send of nothing");
        self.note("relay lends", socket.id, bytes.len() as i64);
        queue.begin_simulated_send();
        self.start(socket.id, token, Kind::Send(Sending { bytes, pieces, done: 0, lends: true }));
    }

    fn take_back(&mut self, lent: Vec<Chunk>) {
        let sending = self.given_back.pop_front().expect("memory is taken back that was not given back");
        assert_eq!(lent.len(), sending.pieces.len(), "pieces that were lent are gone");
        let mut at = 0;
        for (chunk, (address, len)) in lent.into_iter().zip(&sending.pieces) {
            let now = self.pool.bytes(&chunk);
            let same = now.as_ptr() as usize == *address && now == &sending.bytes[at..at + len];
            assert!(same, "memory that was lent changed");
            at += len;
            self.pool.release(chunk);
        }
    }

    fn sent(&mut self, queue: &mut SendQueue, result: i32, is_lent: bool) {
        let (told, sending) = self.to_take_back.pop_front().expect("a send is taken back that is not over");
        assert_eq!(told, result, "a send is taken back with another result");
        let mut at = 0;
        let mut index = 0;
        let is_changed = self.world.borrow_mut().takes_fault(Fault::OverwritesASend);
        queue.for_each_piece(&self.pool, sending.pieces.len(), |piece| {
            let same = sending.pieces[index] == (piece.as_ptr() as usize, piece.len())
                && sending.bytes.get(at..at + piece.len()).is_some_and(|before| before == piece);
            assert!(same && !is_changed, "the memory of a send changed while it was in flight");
            at += piece.len();
            index += 1;
        });
        assert_eq!(index, sending.pieces.len(), "pieces of a send are gone");
        let sent = result.max(0) as usize;
        if is_lent {
            assert!(sending.lends, "a send that copies is taken for one that lends");
            queue.end_simulated_zero_copy(&mut self.pool, sending.pieces.len(), sent);
        } else {
            queue.end_simulated_send(&mut self.pool, sent);
        }
    }

    fn cancel(&mut self, target: Token, token: Token) {
        let cancels = [
            (Operation::Receive, Operation::CancelReceive),
            (Operation::Send, Operation::CancelSend),
            (Operation::Watch, Operation::CancelWatch),
        ];
        assert!(cancels.contains(&(target.operation(), token.operation())), "{token:?} cancels {target:?}");
        let bits = target.to_bits();
        let name = carrier_of(bits);
        let connection = *self.names.get(&name).expect("a cancel of something that never was");
        assert!(!self.world.borrow().connections[connection].is_closed, "a cancel on a freed slot");
        let mut serial = 0;
        if let Some(operation) = self.in_flight.get_mut(&bits) {
            operation.cancels += 1;
            serial = operation.serial;
        }
        *self.open.entry(carrier_of(bits)).or_default() += 1;
        self.submissions.push(Entry::Cancel { target: bits, serial, token: token.to_bits() });
    }

    fn send_now(&mut self, socket: &SimSocket, bytes: &[u8]) -> usize {
        let is_sending = |operation: &InFlight| {
            operation.connection == socket.id && matches!(operation.kind, Kind::Send(_) | Kind::AwaitRoom)
        };
        assert!(!self.in_flight.values().any(is_sending), "a send at once while another is in flight");
        let mut world = self.world.borrow_mut();
        let connection = &world.connections[socket.id];
        assert!(!connection.is_shut && !connection.is_closed, "a send at once on a connection that is shut");
        if connection.is_broken {
            return 0;
        }
        world.take(socket.id, bytes);
        bytes.len()
    }

    fn shutdown(&mut self, socket: &SimSocket) {
        let is_sending = |operation: &InFlight| {
            operation.connection == socket.id && matches!(operation.kind, Kind::Send(_) | Kind::AwaitRoom)
        };
        assert!(!self.in_flight.values().any(is_sending), "a shutdown while a send is in flight");
        self.world.borrow_mut().shut(socket.id);
    }

    fn reset_on_close(&mut self, socket: &SimSocket) {
        self.note("relay resets on close", socket.id, 0);
        self.world.borrow_mut().connections[socket.id].resets_on_close = true;
    }

    fn turn(&mut self, wait_ms: u64, completions: &mut Vec<Completion>) -> Result<(), RingError> {
        assert!(self.to_take_back.is_empty(), "the relay was told of a send and did not take it back");
        assert!(
            wait_ms == 0 || !self.has_line,
            "the relay waits {wait_ms} ms, and greedy legs have their turn"
        );
        self.read_at_once.clear();
        self.read_parked.clear();
        self.bytes_at_once = [0, 0];
        self.told_bytes.clear();
        let waits_long = wait_ms > 0 && self.has_needless_wait;
        assert!(!waits_long, "the relay waits {wait_ms} ms, and receives wait for buffers that are there");
        if self.is_dead {
            let source = std::io::Error::from_raw_os_error(libc::EBADFD);
            return Err(RingError { operation: "a simulated turn", source });
        }
        for forged in std::mem::take(&mut self.forged) {
            let completion = forged.tell(self);
            completions.push(completion);
        }
        self.top_up();
        self.submit();
        let until = self.now_ms() + wait_ms;
        loop {
            let now = self.now_ms();
            let next_arrival = self.arrivals.push_due(&self.world);
            let next_act = self.world.borrow_mut().act_all();
            let is_busy = self.go_on_all();
            self.poll_mailbox();
            // A signal may end a wait.
            let has_any = !self.completions.is_empty() || !completions.is_empty();
            if has_any || now >= until || self.draws(self.odds.waits / 8) {
                break;
            }
            let next = if is_busy { now + 1 } else { next_act.min(next_arrival).max(now + 1) };
            self.world.borrow_mut().now = next.min(until);
        }
        let mut most = self.completions.len();
        if most > 1 && self.draws(self.odds.reorders) {
            most = self.world.borrow_mut().rng.usize(1..=most);
        }
        for _ in 0..most {
            if let Some(posted) = self.completions.take() {
                let completion = self.tell(posted);
                completions.push(completion);
            }
        }
        // A turn takes time, now and then, and a wait ends late.
        if self.draws(self.odds.waits / 4) {
            let mut world = self.world.borrow_mut();
            world.now += world.rng.u64(1..4);
        }
        Ok(())
    }
}

impl Drop for SimRing {
    fn drop(&mut self) {
        // What is posted comes back, so that the pool's memory can be unmapped.
        let held: Vec<u16> = self.held_by_kernel().collect();
        for index in held {
            self.pool.take_received(index, 0);
        }
    }
}
