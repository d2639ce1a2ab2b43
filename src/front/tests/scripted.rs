//! Connections that follow a script.

use crate::front::socket::HangUp;
use crate::front::stream::{Network, Stream};
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// An event that a peer shows to the gateway.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// These bytes come.
    Bytes(Vec<u8>),
    /// The stream ends.
    Fin,
    /// The connection breaks.
    Reset,
}

impl fmt::Debug for Event {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(formatter, "\"{}\"", bytes.escape_ascii()),
            Self::Fin => formatter.write_str("FIN"),
            Self::Reset => formatter.write_str("RST"),
        }
    }
}

/// When a peer takes a connection, in milliseconds from the dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    After(u64),
    Refuses,
    Never,
}

/// The script of a connection's peer.
#[derive(Clone, Debug)]
pub(super) struct Script {
    /// When a dial succeeds. An accepted connection is there already.
    pub(super) takes: Takes,
    /// The events in order, with their times in milliseconds since the connection was made.
    pub(super) events: Vec<(u64, Event)>,
    /// How many bytes the peer takes before it takes no more.
    pub(super) room_bytes: usize,
    /// A bug: an operation on the connection is forgotten in flight.
    pub(super) forgets_operation: bool,
}

impl Script {
    /// One that takes everything.
    pub(super) fn of(events: Vec<(u64, Event)>) -> Self {
        Self { takes: Takes::After(0), events, room_bytes: usize::MAX, forgets_operation: false }
    }
}

/// A connection under a script, and what became of it. The test keeps a handle when the stream is gone.
#[derive(Debug)]
pub(super) struct Connection {
    script: Script,
    began: Cell<Option<Instant>>,
    /// Bytes that the gateway has received.
    pub(super) received: Cell<usize>,
    /// The bytes that the gateway has sent.
    pub(super) sent: RefCell<Vec<u8>>,
    shut: Cell<[bool; 2]>,
    pub(super) is_reset_on_close: Cell<bool>,
    /// The stream was dropped.
    pub(super) is_closed: Cell<bool>,
    /// The handle was taken.
    pub(super) is_handed_over: Cell<bool>,
    in_flight: Cell<usize>,
    /// An operation was dropped before its completion.
    pub(super) is_abandoned: Cell<bool>,
    cancellations: Cell<usize>,
    changed: Notify,
}

/// Stands for an operation until its completion.
struct InFlight<'a>(&'a Connection);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        // A future that is dropped while it waits drops this too; a completion takes it apart first.
        self.0.is_abandoned.set(true);
        self.0.in_flight.set(self.0.in_flight.get() - 1);
    }
}

impl InFlight<'_> {
    fn complete(self) {
        self.0.in_flight.set(self.0.in_flight.get() - 1);
        std::mem::forget(self);
    }
}

fn broken() -> io::Error {
    io::Error::from_raw_os_error(libc::ECONNRESET)
}

fn cancelled() -> io::Error {
    io::Error::from_raw_os_error(libc::ECANCELED)
}

impl Connection {
    fn new(script: Script, began: Option<Instant>) -> Rc<Self> {
        Rc::new(Self {
            script,
            began: Cell::new(began),
            received: Cell::new(0),
            sent: RefCell::default(),
            shut: Cell::default(),
            is_reset_on_close: Cell::default(),
            is_closed: Cell::default(),
            is_handed_over: Cell::default(),
            in_flight: Cell::default(),
            is_abandoned: Cell::default(),
            cancellations: Cell::default(),
            changed: Notify::new(),
        })
    }

    fn begin_operation(&self) -> InFlight<'_> {
        self.in_flight.set(self.in_flight.get() + 1);
        InFlight(self)
    }

    fn is_shut(&self, how: Shutdown) -> bool {
        let [read, write] = self.shut.get();
        match how {
            Shutdown::Read => read,
            Shutdown::Write => write,
            Shutdown::Both => read && write,
        }
    }

    fn moment(&self, after_ms: u64) -> Instant {
        self.began.get().expect("a connection that is there") + Duration::from_millis(after_ms)
    }

    /// Every event with the position of its first byte in the stream.
    fn events(&self) -> impl Iterator<Item = (usize, Instant, &Event)> {
        let mut position = 0;
        self.script.events.iter().map(move |(after_ms, event)| {
            let at = position;
            if let Event::Bytes(bytes) = event {
                position += bytes.len();
            }
            (at, self.moment(*after_ms), event)
        })
    }

    /// Whether the connection is broken by now.
    fn is_broken(&self) -> bool {
        let now = Instant::now();
        self.events().any(|(_, at, event)| *event == Event::Reset && at <= now)
    }

    /// Returns the result of a receive at this moment, or the moment at which to ask again.
    fn next_received(&self, room_bytes: usize) -> Result<io::Result<Vec<u8>>, Option<Instant>> {
        if self.is_broken() {
            return Ok(Err(broken()));
        }
        let now = Instant::now();
        let received = self.received.get();
        let mut came = Vec::new();
        for (position, at, event) in self.events() {
            if at > now {
                return if came.is_empty() { Err(Some(at)) } else { Ok(Ok(came)) };
            }
            match event {
                Event::Bytes(bytes) => {
                    let skipped = received.saturating_sub(position).min(bytes.len());
                    let room = room_bytes - came.len();
                    came.extend(bytes[skipped..].iter().take(room));
                    if came.len() == room_bytes {
                        return Ok(Ok(came));
                    }
                }
                Event::Fin | Event::Reset => return Ok(Ok(came)),
            }
        }
        if came.is_empty() { Err(None) } else { Ok(Ok(came)) }
    }

    /// Waits until `moment`, if there is one, or until this side does something to the connection.
    async fn wait(&self, moment: Option<Instant>) {
        let changed = self.changed.notified();
        match moment {
            Some(moment) => tokio::select! {
                () = changed => {}
                () = sleep_until(moment) => {}
            },
            None => changed.await,
        }
    }

    /// When the next event comes after now.
    fn next_event(&self) -> Option<Instant> {
        let now = Instant::now();
        self.events().map(|(_, at, _)| at).find(|at| *at > now)
    }

    /// Bytes that the script has, whenever they come.
    pub(super) fn scripted_bytes(&self) -> Vec<u8> {
        let bytes = self.script.events.iter().filter_map(|(_, event)| match event {
            Event::Bytes(bytes) => Some(bytes.as_slice()),
            Event::Fin | Event::Reset => None,
        });
        bytes.collect::<Vec<_>>().concat()
    }

    async fn run<T>(
        &self,
        mut step: impl FnMut() -> Result<T, Option<Instant>>,
        cancelled: impl FnOnce() -> T,
    ) -> T {
        let operation = self.begin_operation();
        let cancellations = self.cancellations.get();
        let output = loop {
            match step() {
                Ok(output) => break output,
                // What was achieved before counts: a cancellation is looked at last.
                Err(_) if self.cancellations.get() != cancellations => break cancelled(),
                Err(moment) => self.wait(moment).await,
            }
        };
        operation.complete();
        output
    }
}

/// The gateway's end of a scripted connection.
#[derive(Debug)]
pub(super) struct Scripted(Rc<Connection>);

impl Scripted {
    /// An accepted connection, and the test's handle of it.
    pub(super) fn accepted(script: Script) -> (Self, Rc<Connection>) {
        let connection = Connection::new(script, Some(Instant::now()));
        (Self(Rc::clone(&connection)), connection)
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.0.is_closed.set(true);
    }
}

impl Stream for Scripted {
    type Handle = Rc<Connection>;

    async fn receive(&self, mut buffer: Vec<u8>, room_bytes: usize) -> (io::Result<usize>, Vec<u8>) {
        let connection = &*self.0;
        let step = || match connection.next_received(room_bytes) {
            Err(_) if connection.is_shut(Shutdown::Read) => Ok(Ok(Vec::new())),
            other => other,
        };
        let result = connection.run(step, || Err(cancelled())).await;
        let result = result.map(|came| {
            connection.received.set(connection.received.get() + came.len());
            buffer.extend_from_slice(&came);
            came.len()
        });
        (result, buffer)
    }

    async fn send_all(&self, bytes: Bytes) -> io::Result<()> {
        let connection = &*self.0;
        let mut rest = bytes;
        let step = || {
            if connection.is_broken() || connection.is_shut(Shutdown::Write) {
                return Ok(Err(io::Error::from_raw_os_error(libc::EPIPE)));
            }
            let mut sent = connection.sent.borrow_mut();
            let room = connection.script.room_bytes.saturating_sub(sent.len());
            sent.extend_from_slice(&rest.split_to(room.min(rest.len())));
            if rest.is_empty() { Ok(Ok(())) } else { Err(connection.next_event()) }
        };
        connection.run(step, || Err(cancelled())).await
    }

    fn send_now(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut sent = self.0.sent.borrow_mut();
        let room = self.0.script.room_bytes.saturating_sub(sent.len()).min(bytes.len());
        sent.extend_from_slice(&bytes[..room]);
        Ok(room)
    }

    async fn hang_up(&self) -> io::Result<HangUp> {
        let connection = &*self.0;
        let step = || {
            if connection.is_broken() || connection.is_shut(Shutdown::Both) {
                return Ok(Ok(HangUp::LeftAltogether));
            }
            let now = Instant::now();
            let has_ended = connection.events().any(|(_, at, event)| *event == Event::Fin && at <= now);
            if has_ended || connection.is_shut(Shutdown::Read) {
                return Ok(Ok(HangUp::EndedItsStream));
            }
            Err(connection.next_event())
        };
        connection.run(step, || Err(cancelled())).await
    }

    async fn cancel_all(&self) -> io::Result<u32> {
        self.0.cancellations.set(self.0.cancellations.get() + 1);
        self.0.changed.notify_waiters();
        Ok(self.0.in_flight.get() as u32)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let [read, write] = self.0.shut.get();
        self.0.shut.set([read || how != Shutdown::Write, write || how != Shutdown::Read]);
        self.0.changed.notify_waiters();
        Ok(())
    }

    fn reset_on_close(&self) -> io::Result<()> {
        self.0.is_reset_on_close.set(true);
        Ok(())
    }

    fn is_idle(&self) -> bool {
        self.0.in_flight.get() == 0 && !self.0.script.forgets_operation
    }

    fn into_handle(self) -> Result<Rc<Connection>, Self> {
        if !self.is_idle() {
            return Err(self);
        }
        self.0.is_handed_over.set(true);
        Ok(Rc::clone(&self.0))
    }
}

/// A network whose dials meet one script after the other.
#[derive(Debug)]
pub(super) struct ScriptedNetwork {
    scripts: RefCell<VecDeque<Script>>,
    pub(super) dialled: Rc<RefCell<Vec<Rc<Connection>>>>,
}

impl ScriptedNetwork {
    pub(super) fn new(scripts: Vec<Script>) -> Self {
        Self { scripts: RefCell::new(scripts.into()), dialled: Rc::default() }
    }
}

impl Network for ScriptedNetwork {
    type Stream = Scripted;

    fn stream_to(&self, _: SocketAddr, _: Option<IpAddr>) -> io::Result<Scripted> {
        let script = self.scripts.borrow_mut().pop_front().expect("a script for every dial");
        let connection = Connection::new(script, None);
        self.dialled.borrow_mut().push(Rc::clone(&connection));
        Ok(Scripted(connection))
    }

    async fn connect(&self, stream: &Scripted, _: SocketAddr) -> io::Result<()> {
        let connection = &*stream.0;
        let dialled_at = Instant::now();
        let step = || {
            if connection.is_shut(Shutdown::Both) {
                return Ok(Err(io::Error::from_raw_os_error(libc::ECONNABORTED)));
            }
            match connection.script.takes {
                Takes::Refuses => Ok(Err(io::Error::from_raw_os_error(libc::ECONNREFUSED))),
                Takes::Never => Err(None),
                Takes::After(after_ms) => {
                    let taken_at = dialled_at + Duration::from_millis(after_ms);
                    if taken_at > Instant::now() {
                        return Err(Some(taken_at));
                    }
                    connection.began.set(Some(taken_at));
                    Ok(Ok(()))
                }
            }
        };
        connection.run(step, || Err(cancelled())).await
    }
}
