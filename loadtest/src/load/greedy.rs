//! Sessions that take all they can get, beside the steady ones whose echoes are measured.
//!
//! They run on a thread of their own that gives way to everyone (`machine::priority`): the steady sessions are served
//! on time however much is sent here, so that it is the proxy that is measured and not the core they share. Their path
//! begins with [`PATH`], which proxies have routed to another API and another backend.
//!
//! Not here: the backend's side (`backend`), and the effect on the steady sessions (`load`).

use super::client::Destination;
use crate::machine::priority;
use crate::plan;
use crate::plan::Greed;
use crate::poller::{Poller, Ready, now_ns};
use crate::tls::channel::Channel;
use crate::transport::{Buffers, Transport};
use crate::wire::{client_frame, head_end, opening};
use anyhow::{Context, Result, bail};
use std::io::ErrorKind;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// The prefix of a greedy session's path; a path of `backend` stands behind it.
pub const PATH: &str = "/greedy";

/// Bytes that one write hands over at least. A sender that gathers its messages sends more of them than one that writes
/// each by itself, and leaves the core to the backend.
const WRITE_BYTES: usize = 64 * 1024;

/// Records that one write makes where each has one byte: then the backend may have its turn.
const BYTE_RECORDS: usize = 256;

/// Longest wait for one opening handshake.
const OPENING_PATIENCE: Duration = Duration::from_secs(10);

/// Between two looks at whether it is over, in nanoseconds.
const LOOK_NS: u64 = 5_000_000;

/// The amount that greedy sessions sent; zero where they only stop reading.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flood {
    pub(super) bytes: u64,
    pub(super) frames: u64,
}

/// Greedy sessions, open.
#[derive(Debug)]
pub(super) struct Greedy {
    begin: Sender<()>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Flood>>>,
}

impl Greedy {
    /// Opens them. They do nothing yet.
    ///
    /// # Errors
    /// Why they do not open.
    pub(super) fn open(plan: plan::Greedy, target: Destination) -> Result<Self> {
        let (begin, begun) = channel();
        let (opened, are_open) = channel();
        let is_over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&is_over);
        let thread = std::thread::spawn(move || serve(plan, &target, &opened, &begun, &ends));
        let greedy = Self { begin, is_over, thread: Some(thread) };
        match are_open.recv() {
            Ok(()) => Ok(greedy),
            Err(_) => Err(greedy.join().err().context("greedy sessions did not open")?),
        }
    }

    /// Lets them begin.
    pub(super) fn begin(&self) {
        // Where the thread has ended, `join` says why.
        let _ = self.begin.send(());
    }

    /// Tells them to end, and does not wait for it.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// Waits for them, and returns the amount that they sent.
    ///
    /// # Errors
    /// A session did not last until it was told to end.
    pub(super) fn join(mut self) -> Result<Flood> {
        let thread = self.thread.take().context("it is joined once")?;
        thread.join().unwrap_or_else(|_| bail!("the greedy sessions' thread failed"))
    }
}

impl Drop for Greedy {
    fn drop(&mut self) {
        self.end();
    }
}

/// The thread: opens, waits for the word, and goes on until it is over.
fn serve(
    plan: plan::Greedy,
    target: &Destination,
    opened: &Sender<()>,
    begun: &Receiver<()>,
    is_over: &AtomicBool,
) -> Result<Flood> {
    priority::give_way().context("greedy sessions cannot give way")?;
    let frames = Frames::of(plan);
    let opening = opening(&target.address.to_string(), &path(plan));
    let mut buffers = Buffers::new(target.tls.is_some());
    let mut sessions = (0..plan.sessions)
        .map(|_| Session::open(target, &opening, &mut buffers).context("a greedy session did not open"))
        .collect::<Result<Vec<_>>>()?;
    let _ = opened.send(());
    // The run failed before its window.
    if begun.recv().is_err() {
        return Ok(Flood::default());
    }
    let poller = Poller::new()?;
    for (key, session) in sessions.iter_mut().enumerate() {
        match plan.does {
            // It asks for its push, and never looks at its socket again.
            Greed::StopReading => session.write(&frames, &mut buffers)?,
            Greed::SendEmptyFrames
            | Greed::SendByteFragments
            | Greed::SendMessages
            | Greed::SendByteRecords => {
                session.transport.stream().set_nonblocking(true)?;
                poller.add(session.transport.stream(), key as u64, true)?;
            }
        }
    }
    let mut ready: Vec<Ready> = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        poller.wait(now_ns() + LOOK_NS, &mut ready)?;
        for event in ready.drain(..) {
            let session = &mut sessions[event.key as usize];
            if event.is_readable {
                session.drop_what_came(&mut buffers)?;
            }
            if event.is_writable {
                session.write(&frames, &mut buffers)?;
            }
        }
    }
    if plan.does == Greed::StopReading {
        return Ok(Flood::default());
    }
    let bytes = sessions.iter().map(|session| session.bytes).sum();
    Ok(Flood { bytes, frames: bytes / frames.each as u64 })
}

/// Where a greedy session goes.
fn path(plan: plan::Greedy) -> String {
    match plan.does {
        Greed::SendEmptyFrames | Greed::SendByteFragments | Greed::SendMessages | Greed::SendByteRecords => {
            format!("{PATH}/sink")
        }
        Greed::StopReading => format!("{PATH}/flood?bytes={}&asked=1", plan.bytes.unwrap_or_default()),
    }
}

/// The bytes that a session sends: a beginning once, and a block again and again.
#[derive(Debug)]
struct Frames {
    first: Vec<u8>,
    block: Vec<u8>,
    /// Bytes of one frame with its header.
    each: usize,
    /// Writes of one byte each that are made at once; 1: one write, of all there is.
    pieces: usize,
}

impl Frames {
    fn of(plan: plan::Greedy) -> Self {
        let (first, frame) = match plan.does {
            Greed::SendEmptyFrames => (Vec::new(), client_frame(0x82, &[])),
            // RFC 6455 §5.4: a fragment without FIN begins a message, and those with opcode 0 go on with it.
            Greed::SendByteFragments => (client_frame(0x02, &[0]), client_frame(0x00, &[0])),
            Greed::SendMessages => (Vec::new(), client_frame(0x82, &vec![0; plan.bytes.unwrap_or_default()])),
            Greed::SendByteRecords => (Vec::new(), client_frame(0x82, &[0; 64])),
            // Any message is the sign to push.
            Greed::StopReading => (Vec::new(), client_frame(0x82, &[0])),
        };
        let copies = match plan.does {
            Greed::StopReading => 1,
            Greed::SendEmptyFrames
            | Greed::SendByteFragments
            | Greed::SendMessages
            | Greed::SendByteRecords => WRITE_BYTES.div_ceil(frame.len()),
        };
        let pieces = if plan.does == Greed::SendByteRecords { BYTE_RECORDS } else { 1 };
        Self { first, block: frame.repeat(copies), each: frame.len(), pieces }
    }
}

#[derive(Debug)]
struct Session {
    transport: Transport,
    /// Bytes that the socket took.
    bytes: u64,
}

impl Session {
    fn open(target: &Destination, opening: &[u8], buffers: &mut Buffers) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&target.address, OPENING_PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(OPENING_PATIENCE))?;
        let mut transport = match &target.tls {
            None => Transport::plain(stream),
            Some((config, keeps_tickets)) => Transport::tls(stream, Channel::client(config, *keeps_tickets)?),
        };
        let mut sent = 0;
        while sent < opening.len() {
            match transport.write(&opening[sent..], buffers) {
                Ok(count) => sent += count,
                // It has no key yet: what it waits for is the rest of the handshake.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if transport.read(buffers)?.is_over {
                        bail!("no handshake");
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        transport.flush()?;
        let mut head = Vec::new();
        // Nothing stands behind it before this session has sent something.
        while head_end(&head).is_none() {
            let received = transport.read(buffers)?;
            head.extend_from_slice(received.bytes);
            if received.is_over {
                bail!("it ended before it was open");
            }
        }
        if !head.starts_with(b"HTTP/1.1 101 ") {
            bail!("refused: {}", String::from_utf8_lossy(&head).lines().next().unwrap_or_default());
        }
        Ok(Self { transport, bytes: 0 })
    }

    /// Writes from where the last write ended to the end of the block: once, or byte by byte.
    fn write(&mut self, frames: &Frames, buffers: &mut Buffers) -> Result<()> {
        let first = frames.first.len() as u64;
        for _ in 0..frames.pieces {
            let rest = match self.bytes.checked_sub(first) {
                None => &frames.first[self.bytes as usize..],
                Some(behind) => &frames.block[(behind % frames.block.len() as u64) as usize..],
            };
            let piece = if frames.pieces > 1 { &rest[..1] } else { rest };
            match self.transport.write(piece, buffers) {
                Ok(count) => self.bytes += count as u64,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => break,
                Err(error) => return Err(error).context("a greedy session ended by itself"),
            }
        }
        Ok(())
    }

    /// A sink sends nothing. What comes is the proxy's, and an end is told apart from it.
    fn drop_what_came(&mut self, buffers: &mut Buffers) -> Result<()> {
        match self.transport.read(buffers) {
            Ok(received) if received.is_over => bail!("a greedy session was ended by the proxy"),
            Ok(_) => Ok(()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(()),
            Err(error) => Err(error).context("a greedy session broke"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{FrameReader, Part};

    fn plan(does: Greed, bytes: Option<usize>) -> plan::Greedy {
        plan::Greedy { sessions: 1, does, bytes }
    }

    /// First bytes and lengths of the frames that a session sends in the beginning and one block.
    fn sent(plan: plan::Greedy) -> (Vec<(u8, u64)>, Frames) {
        let frames = Frames::of(plan);
        let (mut reader, mut headers) = (FrameReader::default(), Vec::new());
        reader.read(&[frames.first.as_slice(), &frames.block].concat(), |part| {
            if let Part::Header { first, len, .. } = part {
                headers.push((first, len));
            }
        });
        assert!(reader.is_between_frames(), "a block ends with a frame");
        (headers, frames)
    }

    #[test]
    fn each_sort_sends_the_frames_it_is_named_for() {
        let (empty, frames) = sent(plan(Greed::SendEmptyFrames, None));
        assert!(empty.iter().all(|frame| *frame == (0x82, 0)));
        assert!(frames.each == 6 && frames.block.len() >= WRITE_BYTES);
        let (fragments, frames) = sent(plan(Greed::SendByteFragments, None));
        assert_eq!(fragments[0], (0x02, 1));
        assert!(fragments[1..].iter().all(|frame| *frame == (0x00, 1)), "no FIN, ever");
        assert!(frames.each == 7 && fragments.len() > 9_000);
        for bytes in [64, 16_384, 1 << 20] {
            let (messages, frames) = sent(plan(Greed::SendMessages, Some(bytes)));
            assert!(messages.iter().all(|frame| *frame == (0x82, bytes as u64)));
            assert_eq!(frames.block.len() / frames.each, messages.len());
        }
        let (messages, frames) = sent(plan(Greed::SendByteRecords, None));
        assert!(messages.iter().all(|frame| *frame == (0x82, 64)) && frames.pieces > 1);
        assert_eq!(sent(plan(Greed::StopReading, Some(1_000))).0, [(0x82, 1)]);
    }
}
