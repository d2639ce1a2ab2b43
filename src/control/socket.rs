//! The control socket, one of the two sources of commands: a Unix stream for tools on this host (`ringgate ctl`).
//!
//! The file is open to its owner only, and each client that connects nevertheless is asked for its identity: only root and the user
//! of the process may give commands.
//!
//! The property to trust: no connection keeps a command out. Connections, requests and their time are bounded, and a new
//! connection takes the place of the oldest silent one, or else of the oldest.
//!
//! Not here: the lines of the protocol (`wire`), the file (`place`), carrying a command out (`serving`).

mod conversation;
pub mod place;
pub mod wire;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::geteuid;
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use self::conversation::converse;
use self::place::ClaimedSocket;
use super::command::Order;
use crate::process::log::limited;

/// Connections at once. Over it, the oldest that does not wait for an answer is closed, else the oldest: the newest command always
/// gets in.
const CONNECTIONS_MAX: usize = 16;

/// Least time between two accepts. It bounds what a flood of connections takes of the control thread.
const ACCEPT_INTERVAL: Duration = Duration::from_millis(1);

/// How long is waited after an accept that failed, before the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long the end of the process waits for answers to be written.
const FINISH_PATIENCE: Duration = Duration::from_secs(1);

/// How long the end of the process waits for the file to be removed.
const REMOVE_PATIENCE: Duration = Duration::from_secs(1);

/// A control socket that is served. [`ControlSocket::finish`] ends it.
#[derive(Debug)]
pub struct ControlSocket {
    claimed: ClaimedSocket,
    accepting: AbortHandle,
    /// Connections that wait for an answer, or are being written one.
    waiting: watch::Sender<usize>,
}

/// A connection, from the view of the accepting task.
#[derive(Debug)]
struct Connection {
    task: AbortHandle,
    /// It waits for an answer.
    is_waiting: Arc<AtomicBool>,
}

/// Held from a whole request to the end of its answer.
struct Waiting<'c> {
    is_waiting: &'c AtomicBool,
    all: &'c watch::Sender<usize>,
}

impl<'c> Waiting<'c> {
    fn begin(is_waiting: &'c AtomicBool, all: &'c watch::Sender<usize>) -> Self {
        is_waiting.store(true, Ordering::Relaxed);
        all.send_modify(|waiting| *waiting += 1);
        Self { is_waiting, all }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.is_waiting.store(false, Ordering::Relaxed);
        self.all.send_modify(|waiting| *waiting -= 1);
    }
}

impl ControlSocket {
    /// Serves a socket on `control`, and returns the receiver of its commands.
    ///
    /// # Errors
    /// The kernel's, when the listener cannot be taken over.
    pub fn start(control: &Handle, claimed: ClaimedSocket) -> io::Result<(Self, mpsc::Receiver<Order>)> {
        let listener = claimed.listener()?;
        listener.set_nonblocking(true)?;
        // The listener registers with the runtime that is entered.
        let _entered = control.enter();
        let listener = UnixListener::from_std(listener)?;
        let (orders, ordered) = mpsc::channel(CONNECTIONS_MAX);
        let waiting = watch::Sender::new(0);
        let accepting = control.spawn(accept_all(listener, orders, waiting.clone())).abort_handle();
        Ok((Self { claimed, accepting, waiting }, ordered))
    }

    /// Waits a moment until all answers are written, and removes the file.
    pub async fn finish(self) {
        self.accepting.abort();
        let mut waiting = self.waiting.subscribe();
        let _ = timeout(FINISH_PATIENCE, waiting.wait_for(|waiting| *waiting == 0)).await;
        // The file goes with it, on a thread that may wait for its file system.
        let claimed = self.claimed;
        let removed = tokio::task::spawn_blocking(move || drop(claimed));
        if timeout(REMOVE_PATIENCE, removed).await.is_err() {
            tracing::warn!("the control socket's file is not removed: its file system does not answer");
        }
    }
}

/// Accepts for ever.
async fn accept_all(listener: UnixListener, orders: mpsc::Sender<Order>, waiting: watch::Sender<usize>) {
    let mut connections: VecDeque<Connection> = VecDeque::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                if let Some(connection) = begin(stream, &mut connections, &orders, &waiting) {
                    connections.push_back(connection);
                }
                sleep(ACCEPT_INTERVAL).await;
            }
            Err(error) => {
                limited!(WARN, None, "the control socket cannot accept", %error);
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Begins to serve a connection, if it may command the instance.
fn begin(
    stream: UnixStream,
    connections: &mut VecDeque<Connection>,
    orders: &mpsc::Sender<Order>,
    waiting: &watch::Sender<usize>,
) -> Option<Connection> {
    let (peer, own) = (stream.peer_cred().ok()?.uid(), geteuid().as_raw());
    if let Err(message) = check_peer(peer, own) {
        limited!(WARN, None, "the control socket refused a user", user = peer);
        // Whether it reads why is its own concern: nobody waits for it.
        let _ = stream.try_write(wire::error_line(&message).as_bytes());
        return None;
    }
    connections.retain(|connection| !connection.task.is_finished());
    if connections.len() >= CONNECTIONS_MAX {
        let says_nothing = |connection: &Connection| !connection.is_waiting.load(Ordering::Relaxed);
        let oldest = connections.iter().position(says_nothing).unwrap_or(0);
        if let Some(connection) = connections.remove(oldest) {
            connection.task.abort();
        }
    }
    let is_waiting = Arc::new(AtomicBool::new(false));
    let (orders, waiting, flag) = (orders.clone(), waiting.clone(), Arc::clone(&is_waiting));
    let task = tokio::spawn(async move {
        // One that is gone is nobody's concern.
        let _ = converse(stream, &orders, &flag, &waiting).await;
    });
    Some(Connection { task: task.abort_handle(), is_waiting })
}

/// Whether a user may command the instance of the user `own`.
fn check_peer(peer: u32, own: u32) -> Result<(), String> {
    if peer == 0 || peer == own {
        return Ok(());
    }
    Err(format!("user {peer} may not command this instance: run ringgate ctl as root or as user {own}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_and_the_user_of_the_process_may_command_it_and_nobody_else() {
        for (peer, own, may) in [
            (0, 0, true),
            (0, 1000, true),
            (1000, 1000, true),
            (1000, 0, false),
            (1001, 1000, false),
            (65534, 0, false),
            (u32::MAX, 1000, false),
        ] {
            assert_eq!(check_peer(peer, own).is_ok(), may, "{peer} commands {own}");
        }
        let refused = check_peer(1001, 1000).unwrap_err();
        assert!(
            refused.contains("user 1001 may not") && refused.ends_with("as root or as user 1000"),
            "{refused}"
        );
    }
}
