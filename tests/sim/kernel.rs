//! The outcomes of operations in flight: how far they get, how they end, what a cancel finds.
//!
//! As Linux has it for multishot receives, for sends with MSG_WAITALL, and for cancels by name; the moods of the ring say
//! when.

use super::operation::{Entry, InFlight, Kind, Lent, Posted, Sending};
use super::ring::SimRing;
use super::world::Fault;
use ringgate::limits::{BUFFER_BYTES, SPLICE_PIPE_BYTES};
use ringgate::ring::{Chunk, GivenBack, Pipe, Token};

impl SimRing {
    fn post(&mut self, posted: Posted) {
        let most = if self.draws(self.odds.reorders) { self.completions.len() } else { 0 };
        let places = self.world.borrow_mut().rng.usize(..=most);
        self.completions.post(posted, places);
    }

    /// An operation is over.
    fn complete(&mut self, token: u64, mut result: i32, buffer: Option<u16>) {
        let operation = self.in_flight.remove(&token).expect("an operation in flight completes");
        let connection = operation.connection;
        let is_send = matches!(operation.kind, Kind::Send(_));
        if is_send && result > 0 && self.overstates.is_some_and(|chosen| chosen == connection) {
            self.overstates = None;
            self.world.borrow_mut().break_session(connection / 2, false);
            result += 1 << 24;
        }
        let is_wait = matches!(operation.kind, Kind::AwaitBytes | Kind::AwaitRoom | Kind::AwaitBreak);
        let sent = match operation.kind {
            Kind::Receive { .. } | Kind::AwaitBytes => {
                self.note("receive ends", connection, i64::from(result));
                None
            }
            Kind::AwaitBreak => {
                self.note("poll for errors ends", connection, i64::from(result));
                None
            }
            Kind::AwaitRoom => {
                self.note("wait for room ends", connection, i64::from(result));
                Some(Sending::nothing())
            }
            Kind::Send(sending) => {
                self.note("send ends", connection, i64::from(result));
                Some(sending)
            }
        };
        // One that lends may fail before it began: then its memory is not lent.
        let has_more = sent.as_ref().is_some_and(|sending| sending.lends) && !(result < 0 && self.draws(50));
        if let Some(sending) = sent.as_ref().filter(|_| has_more) {
            self.lent.push(Lent { token, connection, sending: sending.clone() });
        }
        let connection = Some(connection);
        self.post(Posted {
            token,
            result,
            has_more,
            buffer,
            target: None,
            sent,
            given_back: None,
            connection,
            is_wait,
        });
    }

    /// Some of the memory that was lent is needed no longer.
    fn give_back(&mut self) -> bool {
        let is_any = !self.lent.is_empty();
        for lent in std::mem::take(&mut self.lent) {
            if self.draws(self.odds.waits) {
                self.lent.push(lent);
                continue;
            }
            let given_back = if self.draws(30) { GivenBack::Copied } else { GivenBack::Uncopied };
            self.post(Posted {
                token: lent.token,
                result: 0,
                has_more: false,
                buffer: None,
                target: None,
                sent: None,
                given_back: Some((lent.sending, given_back)),
                connection: None,
                is_wait: false,
            });
        }
        is_any
    }

    pub fn submit(&mut self) {
        for entry in std::mem::take(&mut self.submissions) {
            match entry {
                // It is tried at once, mostly.
                Entry::Start { token } if !self.draws(self.odds.waits) => self.go_on(token),
                Entry::Start { .. } => {}
                Entry::Cancel { target, serial, token } => self.carry_out_cancel(target, serial, token),
            }
        }
    }

    fn carry_out_cancel(&mut self, target: u64, serial: u64, token: u64) {
        let connection = self.in_flight.get(&target).map(|operation| operation.connection);
        let mut result = 0;
        let comes_first = self.draws(self.odds.reorders);
        if connection.is_none() || self.draws(self.odds.cancel_misses) {
            result = -libc::ENOENT;
        } else if self.draws(self.odds.cancel_is_late) {
            result = -libc::EALREADY;
            if let Some(operation) = self.in_flight.get_mut(&target) {
                operation.is_finishing = true;
            }
            if comes_first {
                self.go_on(target);
            }
        } else if comes_first {
            self.finish(target, libc::ECANCELED);
        }
        self.note("cancel", connection.unwrap_or_default(), i64::from(result));
        let target_of = Some((target, serial));
        self.post(Posted {
            token,
            result,
            has_more: false,
            buffer: None,
            target: target_of,
            sent: None,
            given_back: None,
            connection: None,
            is_wait: false,
        });
        if result == 0 && !comes_first {
            self.finish(target, libc::ECANCELED);
        }
    }

    /// The operation ends with what it has, or with an error.
    fn finish(&mut self, token: u64, error: i32) {
        let Some(operation) = self.in_flight.get(&token) else { return };
        let done = match &operation.kind {
            Kind::Receive { .. } | Kind::AwaitBytes | Kind::AwaitRoom | Kind::AwaitBreak => 0,
            Kind::Send(sending) => sending.done as i32,
        };
        self.complete(token, if done > 0 { done } else { -error }, None);
    }

    /// Lets an operation do what it can.
    fn go_on(&mut self, token: u64) {
        let Some(operation) = self.in_flight.get(&token) else { return };
        match operation.kind {
            Kind::Receive { once, left } => self.receive_on(token, once, left),
            Kind::AwaitBytes | Kind::AwaitRoom | Kind::AwaitBreak => self.wait_on(token),
            Kind::Send(_) => self.send_on(token),
        }
    }

    /// Whether an operation could do something.
    fn could_go_on(&self, operation: &InFlight) -> bool {
        let world = self.world.borrow();
        let connection = &world.connections[operation.connection];
        operation.is_finishing
            || match operation.kind {
                Kind::Receive { .. } | Kind::AwaitBytes => connection.is_readable(),
                Kind::AwaitRoom => connection.is_broken || connection.room() > 0,
                Kind::AwaitBreak => connection.break_events() != 0,
                Kind::Send(_) => {
                    connection.is_broken || connection.room() > 0 || connection.next_send_fails.is_some()
                }
            }
    }

    /// A wait is over when there is what it waits for.
    fn wait_on(&mut self, token: u64) {
        let operation = &self.in_flight[&token];
        if self.draws_permille(self.odds.fails) {
            self.finish(token, libc::ENOMEM);
        } else if operation.is_finishing {
            self.finish(token, libc::ECANCELED);
        } else if self.could_go_on(operation) {
            let events = match operation.kind {
                Kind::AwaitBreak => self.world.borrow().connections[operation.connection].break_events(),
                Kind::Receive { .. } | Kind::AwaitBytes | Kind::AwaitRoom | Kind::Send(_) => {
                    libc::POLLIN.into()
                }
            };
            self.complete(token, events, None);
        }
    }

    fn receive_on(&mut self, token: u64, once: Option<usize>, mut left: Option<usize>) {
        let (connection, is_finishing) = {
            let operation = &self.in_flight[&token];
            (operation.connection, operation.is_finishing)
        };
        loop {
            let (unread, is_readable) = {
                let world = self.world.borrow();
                let connection = &world.connections[connection];
                (connection.unread(), connection.is_readable())
            };
            if self.world.borrow().connections[connection].is_held && !is_finishing {
                return;
            }
            // Linux 6.1: a buffer is chosen before anything is looked at.
            if self.posted.is_empty() {
                return self.complete(token, -libc::ENOBUFS, None);
            }
            if !is_readable {
                if is_finishing {
                    self.finish(token, libc::ECANCELED);
                }
                return;
            }
            if self.draws_permille(self.odds.fails) {
                return self.finish(token, libc::ENOMEM);
            }
            if self.draws(self.odds.receive_ends / 4) {
                return self.finish(token, libc::EINTR);
            }
            if unread == 0 {
                let result = self.world.borrow_mut().connections[connection].take_end();
                // An end may bring a buffer back that it did not use.
                let buffer = if result == 0 && self.draws(30) { self.posted.pop_front() } else { None };
                if self.world.borrow_mut().takes_fault(Fault::LosesACompletion) {
                    self.in_flight.remove(&token);
                    return;
                }
                return self.complete(token, result, buffer);
            }
            let mut bytes = unread.min(once.unwrap_or(BUFFER_BYTES));
            if self.draws(self.odds.short_receive) {
                bytes = self.world.borrow_mut().rng.usize(1..=bytes);
            }
            let Some(index) = self.posted.pop_front() else { return };
            {
                let mut world = self.world.borrow_mut();
                let connection = &mut world.connections[connection];
                let received = connection.receive(bytes);
                self.pool.fill(index, &received);
                connection.endpoint.wake_writer(0);
            }
            self.note("receives", connection, bytes as i64);
            if let Some(left) = &mut left {
                // The last buffer may hold more than is left.
                *left = left.saturating_sub(bytes);
            }
            if let Some(InFlight { kind: Kind::Receive { left: kept, .. }, .. }) =
                self.in_flight.get_mut(&token)
            {
                *kept = left;
            }
            if is_finishing || once.is_some() || left == Some(0) || self.draws(self.odds.receive_ends) {
                return self.complete(token, bytes as i32, Some(index));
            }
            self.post(Posted {
                token,
                result: bytes as i32,
                has_more: true,
                buffer: Some(index),
                target: None,
                sent: None,
                given_back: None,
                connection: None,
                is_wait: false,
            });
            if self.draws(self.odds.waits) {
                return;
            }
        }
    }

    /// Moves arrived bytes into a free buffer, as far as there is room. No operation is in flight for it.
    pub fn receive_at_once(&mut self, id: usize, bytes_max: usize) -> Result<Chunk, i32> {
        let is_received = |operation: &InFlight| {
            operation.connection == id && matches!(operation.kind, Kind::Receive { .. } | Kind::AwaitBytes)
        };
        assert!(!self.in_flight.values().any(is_received), "connection {id} is read twice at once");
        assert!((1..=BUFFER_BYTES).contains(&bytes_max), "a buffer takes no {bytes_max} bytes");
        let (lent_out, buffers) = (self.pool.lent_out(), self.pool.buffers());
        let is_parked = self.starved.remove(&id);
        if is_parked {
            self.read_parked.push(id);
        } else {
            assert!(
                lent_out * 4 <= buffers * 3,
                "a greedy leg is read where {lent_out} of {buffers} buffers are in use"
            );
            self.read_at_once.push(id);
        }
        let mut chunk = self.pool.take_empty().ok_or(-libc::ENOBUFS)?;
        let received = self.take_at_once(id, bytes_max);
        match &received {
            Ok(bytes) => {
                let (buffer, range) = self.pool.room(&chunk);
                buffer[range.start..range.start + bytes.len()].copy_from_slice(bytes);
                self.pool.place(&mut chunk, range.start..range.start + bytes.len());
                self.note("is read at once", id, bytes.len() as i64);
                self.bytes_at_once[usize::from(is_parked)] += bytes.len();
                Ok(chunk)
            }
            Err(result) => {
                self.pool.release(chunk);
                self.note("is not read at once", id, i64::from(*result));
                Err(*result)
            }
        }
    }

    fn take_at_once(&mut self, id: usize, bytes_max: usize) -> Result<Vec<u8>, i32> {
        if self.draws(self.odds.receive_ends / 4) {
            return Err(-libc::EINTR);
        }
        let fails = self.draws_permille(self.odds.fails);
        let is_short = self.draws(self.odds.short_receive);
        let mut world = self.world.borrow_mut();
        let now = world.now;
        assert!(!world.connections[id].is_closed, "connection {id} is read when closed");
        if world.connections[id].is_held || !world.connections[id].is_readable() {
            return Err(-libc::EAGAIN);
        }
        let unread = world.connections[id].unread();
        if unread == 0 || fails {
            let result = if fails { -libc::ENOMEM } else { world.connections[id].take_end() };
            if result < 0 {
                world.connections[id].failed_at.get_or_insert(now);
            }
            world.tell_end(id);
            return Err(result);
        }
        let mut bytes = unread.min(bytes_max);
        if is_short {
            bytes = world.rng.usize(1..=bytes);
        }
        let received = world.connections[id].receive(bytes);
        world.connections[id].endpoint.wake_writer(0);
        world.connections[id].heard_at = now;
        world.move_bytes(id);
        Ok(received)
    }

    /// Moves arrived bytes into a pipe, as far as there is room.
    pub fn splice_into(&mut self, id: usize, pipe: &mut Pipe, bytes_max: usize) -> i32 {
        let is_received = |operation: &InFlight| {
            operation.connection == id && matches!(operation.kind, Kind::Receive { .. } | Kind::AwaitBytes)
        };
        assert!(!self.in_flight.values().any(is_received), "connection {id} is spliced while it is received");
        assert!(pipe.bytes() == 0 && bytes_max > 0, "a pipe is filled that is not empty, or with nothing");
        if self.draws_permille(self.odds.fails) {
            return -libc::ENOMEM;
        }
        let is_interrupted = self.draws(self.odds.short_send.min(20));
        let is_short = self.draws(self.odds.short_receive);
        let mut world = self.world.borrow_mut();
        let now = world.now;
        let unread = world.connections[id].unread();
        if unread == 0 || world.connections[id].is_held {
            return -libc::EAGAIN;
        }
        if is_interrupted {
            return -libc::EINTR;
        }
        let mut bytes = unread.min(bytes_max).min(SPLICE_PIPE_BYTES);
        if is_short {
            bytes = world.rng.usize(1..=bytes);
        }
        let mut received = world.connections[id].receive(bytes);
        if received.first() != received.last() && world.takes_fault(Fault::MixesAPipe) {
            received.swap(0, bytes - 1);
        }
        world.connections[id].endpoint.wake_writer(0);
        world.connections[id].heard_at = now;
        world.sessions[id / 2].active_at = now;
        world.trace.note(now, "splices in", id, bytes as i64);
        self.pipes[usize::from(pipe.number())].bytes.extend(received);
        pipe.filled(bytes);
        bytes as i32
    }

    /// Sends the content of a pipe, as far as the connection takes it.
    pub fn splice_from(&mut self, id: usize, pipe: &mut Pipe) -> i32 {
        let is_sending = |operation: &InFlight| {
            operation.connection == id && matches!(operation.kind, Kind::Send(_) | Kind::AwaitRoom)
        };
        assert!(
            !self.in_flight.values().any(is_sending),
            "connection {id} is spliced to while a send is in flight"
        );
        {
            let world = self.world.borrow();
            let connection = &world.connections[id];
            assert!(
                !connection.is_shut && !connection.resets_on_close,
                "connection {id} is spliced to when shut"
            );
        }
        let content = &self.pipes[usize::from(pipe.number())];
        assert!(
            content.is_taken && content.bytes.len() == pipe.bytes() && pipe.bytes() > 0,
            "an empty pipe is sent"
        );
        let bytes: Vec<u8> = content.bytes.iter().copied().collect();
        let Some(sent) = self.send_at_once(id, &bytes) else { return -libc::EAGAIN };
        self.note("splices out", id, sent.into());
        let gone = sent.max(0) as usize;
        self.pipes[usize::from(pipe.number())].bytes.drain(..gone);
        pipe.emptied(gone);
        sent
    }

    /// Returns the bytes of a send that a connection takes without waiting; none if it would have to wait.
    pub fn send_at_once(&mut self, id: usize, bytes: &[u8]) -> Option<i32> {
        if self.draws_permille(self.odds.breaks) {
            let now = self.now_ms();
            self.world.borrow_mut().connections[id].break_with(libc::ETIMEDOUT, now);
        }
        let fails = self.draws_permille(self.odds.fails);
        let is_interrupted = self.draws(self.odds.short_send.min(20));
        let mut world = self.world.borrow_mut();
        let now = world.now;
        let is_short = self.odds.short_step > 0 && world.rng.u8(..100) < self.odds.short_step;
        let connection = &mut world.connections[id];
        if is_interrupted {
            return Some(-libc::EINTR);
        }
        let error = match connection.next_send_fails.take() {
            Some(error) => -error,
            None if fails => -libc::ENOMEM,
            None if connection.is_broken => {
                connection.has_hidden_error |= self.odds.reorders > 0;
                connection.take_send_error()
            }
            None => 0,
        };
        if error != 0 {
            connection.failed_at.get_or_insert(now);
            return Some(error);
        }
        let mut taken = bytes.len().min(connection.room());
        if taken == 0 {
            return None;
        }
        if is_short {
            taken = world.rng.usize(1..=taken);
        }
        world.take(id, &bytes[..taken]);
        world.sessions[id / 2].active_at = now;
        Some(taken as i32)
    }

    fn send_on(&mut self, token: u64) {
        let Some(operation) = self.in_flight.get_mut(&token) else { return };
        let (id, is_finishing) = (operation.connection, operation.is_finishing);
        let has_sent = matches!(&operation.kind, Kind::Send(sending) if sending.done > 0);
        if self.draws_permille(self.odds.breaks) {
            let now = self.now_ms();
            self.world.borrow_mut().connections[id].break_with(libc::ETIMEDOUT, now);
        }
        let fails = self.draws_permille(self.odds.fails).then_some(libc::ENOMEM);
        let mut world = self.world.borrow_mut();
        if let Some(error) = fails.or(world.connections[id].next_send_fails.take()) {
            drop(world);
            return self.finish(token, error);
        }
        if world.connections[id].is_broken {
            // With something sent the error is gone, and the count is what is told; or the error is told behind the end.
            let error = world.connections[id].take_send_error();
            world.connections[id].has_hidden_error |= has_sent || self.odds.reorders > 0;
            drop(world);
            return self.finish(token, -error);
        }
        let Some(Kind::Send(sending)) = self.in_flight.get_mut(&token).map(|operation| &mut operation.kind)
        else {
            return;
        };
        let mut bytes = (sending.bytes.len() - sending.done).min(world.connections[id].room());
        let is_short = self.odds.short_step > 0 && world.rng.u8(..100) < self.odds.short_step;
        if is_short && bytes > 0 {
            bytes = world.rng.usize(1..=bytes);
        }
        if bytes > 0 {
            let taken = &sending.bytes[sending.done..sending.done + bytes];
            world.take(id, taken);
            sending.done += bytes;
        }
        let (done, whole) = (sending.done, sending.bytes.len());
        let miscounts = done == whole && whole > 1 && world.takes_fault(Fault::MiscountsASend);
        drop(world);
        if miscounts {
            self.complete(token, done as i32 - 1, None);
        } else if done == whole {
            self.complete(token, done as i32, None);
        } else if is_finishing || self.draws(self.odds.short_send) {
            self.finish(token, libc::EINTR);
        }
    }

    /// Lets operations in flight do what they can, in any order.
    pub fn go_on_all(&mut self) -> bool {
        let mut able: Vec<u64> = self
            .in_flight
            .iter()
            .filter(|(_, operation)| self.could_go_on(operation))
            .map(|(token, _)| *token)
            .collect();
        if self.odds.reorders > 0 {
            self.world.borrow_mut().rng.shuffle(&mut able);
        }
        let is_any = !able.is_empty() | self.give_back();
        for token in able {
            if !self.draws(self.odds.waits) {
                self.go_on(token);
            }
        }
        is_any
    }

    /// The mailbox was written to, or the kernel says so.
    pub fn poll_mailbox(&mut self) {
        let is_written = rustix::io::read(&self.wake_up, &mut [0u8; 8]).is_ok();
        if is_written || self.draws(self.odds.receive_ends.min(2)) {
            let token = Token::MAILBOX.to_bits();
            let has_more = !self.draws(self.odds.receive_ends);
            self.post(Posted {
                token,
                result: libc::POLLIN.into(),
                has_more,
                buffer: None,
                target: None,
                sent: None,
                given_back: None,
                connection: None,
                is_wait: false,
            });
        }
    }
}
