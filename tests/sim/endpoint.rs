//! Clients and backends: how fast they write and read, and their reactions to an end.

use super::connection::WINDOW_BYTES;
use super::world::World;

/// Never.
const NEVER: u64 = u64::MAX;

/// How an endpoint leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// It ends what it sends and goes on reading.
    Finish,
    /// It closes: what is sent to it from then on breaks the connection.
    Close,
    /// It resets the connection.
    Reset,
    /// It is gone without a word: nothing comes of it any more, and its system acknowledges nothing.
    Vanish,
}

/// An endpoint's reaction to a Close frame or an end of stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It answers a Close frame with its own, and leaves.
    Answers(Leave),
    /// It leaves without an answer.
    Leaves(Leave),
    /// Nothing.
    Ignores,
}

/// The habits of an endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// Longest pause between two writes, in milliseconds.
    pub write_pause_ms: u64,
    /// Most bytes of one write.
    pub write_bytes: usize,
    /// Longest pause between two reads, in milliseconds.
    pub read_pause_ms: u64,
    /// Most bytes of one read; 0 for one that never reads.
    pub read_bytes: usize,
    /// It does not read before this time.
    pub reads_from_ms: u64,
    /// Bytes that the system holds for it.
    pub room: usize,
    /// The action after everything is written.
    pub after_script: Option<Leave>,
    /// It leaves at this time, whatever it has written.
    pub leaves_at: Option<(u64, Leave)>,
    pub answer: Answer,
}

/// One that writes all at once, reads at once, and otherwise does what a test says.
pub const EAGER: Habits = Habits {
    write_pause_ms: 0,
    write_bytes: usize::MAX,
    read_pause_ms: 0,
    read_bytes: usize::MAX,
    reads_from_ms: 0,
    room: 1 << 20,
    after_script: None,
    leaves_at: None,
    answer: Answer::Answers(Leave::Finish),
};

/// One that never reads.
pub const DEAF: Habits = Habits { read_bytes: 0, room: 1_000, answer: Answer::Ignores, ..EAGER };

/// An endpoint's plans.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint {
    pub habits: Habits,
    next_write: u64,
    next_read: u64,
    leaves: Option<(u64, Leave)>,
    /// It closed: what comes breaks the connection.
    has_left: bool,
    has_answered: bool,
}

impl Endpoint {
    pub fn new(habits: Habits, now: u64) -> Self {
        Self {
            habits,
            next_write: now,
            next_read: now.max(habits.reads_from_ms),
            leaves: habits.leaves_at,
            has_left: false,
            has_answered: false,
        }
    }

    /// Something is there for it to read, at this time.
    pub fn wake_reader(&mut self, at: u64) {
        if self.habits.read_bytes > 0 {
            self.next_read = self.next_read.min(at.max(self.habits.reads_from_ms));
        }
    }

    /// It may write again.
    pub fn wake_writer(&mut self, at: u64) {
        self.next_write = self.next_write.min(at);
    }

    /// When it does something next.
    pub fn next_at(&self) -> u64 {
        self.next_write.min(self.next_read).min(self.leaves.map_or(NEVER, |(at, _)| at))
    }
}

impl World {
    /// Lets the endpoint of a connection do what is due.
    pub fn act(&mut self, id: usize) {
        let now = self.now;
        let connection = &mut self.connections[id];
        if connection.is_closed || connection.vanished_at.is_some() {
            connection.endpoint.next_write = NEVER;
            connection.endpoint.next_read = NEVER;
            connection.endpoint.leaves = None;
            return;
        }
        if connection.endpoint.next_write <= now {
            self.write(id);
            self.drip(id);
        }
        if self.connections[id].endpoint.next_read <= now {
            self.read(id);
        }
        if let Some((at, leave)) = self.connections[id].endpoint.leaves
            && at <= now
        {
            self.leave(id, leave);
        }
    }

    fn write(&mut self, id: usize) {
        let now = self.now;
        let connection = &mut self.connections[id];
        let habits = connection.endpoint.habits;
        let left = connection.script.bytes.len() - connection.arrived;
        if connection.is_gone() || connection.is_finished || left == 0 {
            connection.endpoint.next_write = NEVER;
            if let Some(leave) = habits.after_script.filter(|_| connection.endpoint.leaves.is_none()) {
                connection.endpoint.leaves = Some((now + self.rng.u64(..=habits.write_pause_ms), leave));
            }
            return;
        }
        let room = WINDOW_BYTES.saturating_sub(connection.arrived - connection.read);
        let most = left.min(room).min(habits.write_bytes);
        if most > 0 {
            let bytes = if habits.write_bytes == usize::MAX { most } else { self.rng.usize(1..=most) };
            connection.arrive(bytes, &mut self.rng);
            connection.endpoint.next_write = now + self.rng.u64(..=habits.write_pause_ms);
            self.trace.note(now, "arrives at", id, bytes as i64);
        } else {
            // Until the relay has read.
            connection.endpoint.next_write = NEVER;
        }
    }

    /// Lets one byte more of what drips arrive.
    fn drip(&mut self, id: usize) {
        let connection = &mut self.connections[id];
        if let Some(wrapped) = &mut connection.wrapped
            && let Some((arrived, next_at)) = &mut wrapped.drips
        {
            if *next_at <= self.now {
                *arrived += 1;
                *next_at = self.now + 1_000;
            }
            connection.endpoint.next_write = *next_at;
        }
    }

    fn read(&mut self, id: usize) {
        let now = self.now;
        let connection = &mut self.connections[id];
        let habits = connection.endpoint.habits;
        if connection.is_gone() || habits.read_bytes == 0 {
            connection.endpoint.next_read = NEVER;
            return;
        }
        let waiting = connection.taken.len() - connection.taken_read;
        let most = waiting.min(habits.read_bytes);
        let read = match most {
            0 => 0,
            most if habits.read_bytes == usize::MAX => most,
            most => self.rng.usize(1..=most),
        };
        connection.taken_read += read;
        connection.acknowledge(0, read, now);
        // Until the relay has sent more.
        connection.endpoint.next_read =
            if waiting > read { now + 1 + self.rng.u64(..=habits.read_pause_ms) } else { NEVER };
        if waiting > 0 && connection.endpoint.has_left {
            // Linux: data for a socket that is closed is answered with a reset.
            connection.break_with(libc::ECONNRESET, now);
            self.trace.note(now, "resets", id, 0);
            return;
        }
        let is_told = self.has_read_close(id) || self.has_read_end(id);
        let connection = &mut self.connections[id];
        if is_told && !std::mem::replace(&mut connection.endpoint.has_answered, true) {
            let pause = self.rng.u64(..=habits.read_pause_ms.max(1));
            match habits.answer {
                Answer::Answers(leave) => {
                    connection.script.end_with_answer(connection.arrived);
                    connection.endpoint.next_write = now;
                    connection.endpoint.habits.after_script = Some(leave);
                }
                Answer::Leaves(leave) => connection.endpoint.leaves = Some((now + pause, leave)),
                Answer::Ignores => {}
            }
        }
    }

    /// Whether the endpoint has read a Close frame, the other one's or ringgate's own.
    fn has_read_close(&self, id: usize) -> bool {
        let (connection, source) = (&self.connections[id], &self.connections[id ^ 1]);
        let is_passed_on = source.script.close_end().is_some_and(|end| {
            connection.taken_read >= end && connection.farewell_at.is_none_or(|at| at >= end)
        });
        is_passed_on || (connection.farewell_at.is_some() && connection.taken_read == connection.taken.len())
    }

    fn has_read_end(&self, id: usize) -> bool {
        let connection = &self.connections[id];
        connection.is_shut && connection.taken_read == connection.taken.len()
    }

    /// The endpoint leaves.
    pub fn leave(&mut self, id: usize, leave: Leave) {
        let now = self.now;
        let connection = &mut self.connections[id];
        connection.endpoint.leaves = None;
        connection.endpoint.next_write = NEVER;
        if connection.is_gone() {
            return;
        }
        self.trace.note(now, "leaves", id, leave as i64);
        match leave {
            Leave::Finish => {
                connection.say_end(&mut self.rng);
                connection.is_finished = true;
            }
            Leave::Close => {
                connection.say_end(&mut self.rng);
                connection.is_finished = true;
                connection.endpoint.has_left = true;
                connection.endpoint.habits.room = connection.endpoint.habits.room.max(1);
                connection.endpoint.habits.read_bytes = usize::MAX;
                connection.endpoint.next_read = now;
            }
            Leave::Reset => connection.break_with(libc::ECONNRESET, now),
            Leave::Vanish => connection.vanished_at = Some(now),
        }
    }
}
