//! One connection of the control socket: a request, its answer, and the next one.

use std::io;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::super::command::{Answer, Asker, Command, Order, Reply};
use super::{Waiting, wire};

/// Largest request, in bytes, its line end included. Over it: an error, and the connection is closed.
pub(super) const REQUEST_BYTES_MAX: usize = 4096;

/// How long a connection may take for a request, from its accept, or from the end of the answer before. Over it: an error, and it is
/// closed.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a client may take to make room for a piece of an answer. Over it: the connection is closed.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of faults that are written at a time, and made ready in some ten microseconds.
const PIECE_BYTES: usize = 16 * 1024;

/// Serves a connection to its end.
pub(super) async fn converse(
    mut stream: UnixStream,
    orders: &mpsc::Sender<Order>,
    is_waiting: &AtomicBool,
    waiting: &watch::Sender<usize>,
) -> io::Result<()> {
    let mut received = BytesMut::new();
    loop {
        let Ok(request) = timeout(REQUEST_TIMEOUT, read_line(&mut stream, &mut received)).await else {
            let message = format!("no request came within {} s", REQUEST_TIMEOUT.as_secs());
            return write(&mut stream, &wire::error_line(&message)).await;
        };
        let command = match request? {
            Line::Whole(line) => wire::parse_request(&line).map_err(|fault| fault.to_string()),
            Line::TooLong => Err(format!("the request is longer than {REQUEST_BYTES_MAX} bytes")),
            Line::Cut => Err("the request has no line end".to_owned()),
            Line::None => return Ok(()),
        };
        match command {
            Ok(command) => {
                let _waiting = Waiting::begin(is_waiting, waiting);
                answer(&mut stream, orders, command).await?;
            }
            // What follows cannot be trusted to be a request.
            Err(message) => return write(&mut stream, &wire::error_line(&message)).await,
        }
    }
}

/// Has a command carried out, and reports its progress and result.
async fn answer(stream: &mut UnixStream, orders: &mpsc::Sender<Order>, command: Command) -> io::Result<()> {
    let (asker, mut answers) = Asker::new();
    // Where it is not taken, the asker is dropped.
    let _ = orders.send(Order { command, asker }).await;
    loop {
        match answers.recv().await {
            Some(Answer::Progress(progress)) => write(stream, &wire::progress_line(progress)).await?,
            Some(Answer::Reply(reply)) => return write_reply(stream, command, reply).await,
            None => {
                return write(stream, &wire::error_line("the instance ended before it had an answer")).await;
            }
        }
    }
}

/// Writes the faults of a reply, a line each, and then the reply.
async fn write_reply(stream: &mut UnixStream, command: Command, reply: Reply) -> io::Result<()> {
    let mut piece = String::new();
    for fault in wire::faults_of(&reply) {
        piece.push_str(&wire::fault_line(fault));
        if piece.len() >= PIECE_BYTES {
            write(stream, &piece).await?;
            piece.clear();
            tokio::task::yield_now().await;
        }
    }
    piece.push_str(&wire::result_line(command, &reply));
    let written = write(stream, &piece).await;
    // It may hold the faults of ten thousand files, and be the last to do so.
    tokio::task::spawn_blocking(move || drop(reply));
    written
}

async fn write(stream: &mut UnixStream, text: &str) -> io::Result<()> {
    timeout(ANSWER_TIMEOUT, stream.write_all(text.as_bytes())).await?
}

/// The next event on a connection.
enum Line {
    /// Without its line end.
    Whole(Bytes),
    TooLong,
    /// The connection ended within it.
    Cut,
    /// The connection ended.
    None,
}

/// Reads up to the next line end. What comes behind it stays in `received`.
async fn read_line(stream: &mut UnixStream, received: &mut BytesMut) -> io::Result<Line> {
    let mut searched = 0;
    loop {
        if let Some(at) = memchr::memchr(b'\n', &received[searched..]) {
            let line = received.split_to(searched + at).freeze();
            received.advance(1);
            let is_too_long = line.len() >= REQUEST_BYTES_MAX;
            return Ok(if is_too_long { Line::TooLong } else { Line::Whole(line) });
        }
        searched = received.len();
        if searched >= REQUEST_BYTES_MAX {
            return Ok(Line::TooLong);
        }
        received.reserve(REQUEST_BYTES_MAX - searched);
        if stream.read_buf(received).await? == 0 {
            return Ok(if received.is_empty() { Line::None } else { Line::Cut });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::command::Progress;

    /// A served connection: the client's end, and the receiver of its commands.
    fn connect() -> (UnixStream, mpsc::Receiver<Order>) {
        let (client, served) = UnixStream::pair().unwrap();
        let (orders, ordered) = mpsc::channel(4);
        tokio::spawn(async move {
            let (is_waiting, waiting) = (AtomicBool::new(false), watch::Sender::new(0));
            let _ = converse(served, &orders, &is_waiting, &waiting).await;
            assert_eq!(*waiting.borrow(), 0, "nobody waits when it is over");
        });
        (client, ordered)
    }

    /// Returns everything received until the end of the connection.
    async fn rest(client: &mut UnixStream) -> String {
        let mut bytes = Vec::new();
        // A reset, where something stood unread, comes behind all that was written.
        let _ = client.read_to_end(&mut bytes).await;
        String::from_utf8(bytes).unwrap()
    }

    #[tokio::test]
    async fn requests_that_come_together_are_answered_in_turn() {
        let (mut client, mut ordered) = connect();
        client.write_all(b"{\"version\":1,\"command\":\"drain\"}\n{\"version\":1,").await.unwrap();
        let order = ordered.recv().await.unwrap();
        assert_eq!(order.command, Command::Drain);
        order.asker.tell(Progress { sessions: 3, openings: 1 });
        order.asker.reply(Reply::Drained);
        client.write_all(b"\"command\":\"terminate\"}\r\n").await.unwrap();
        let order = ordered.recv().await.unwrap();
        assert_eq!(order.command, Command::Terminate);
        order.asker.reply(Reply::Terminated);
        client.shutdown().await.unwrap();
        assert_eq!(
            rest(&mut client).await,
            "{\"progress\":{\"openings\":1,\"sessions\":3}}\n\
             {\"command\":\"drain\",\"result\":\"done\",\"version\":1}\n\
             {\"command\":\"terminate\",\"result\":\"done\",\"version\":1}\n"
        );
    }

    #[tokio::test]
    async fn what_is_no_request_is_told_so_and_ends_the_connection() {
        let largest =
            format!("{{\"version\":1,\"command\":\"status\"{}}}", " ".repeat(REQUEST_BYTES_MAX - 33));
        for (sent, told) in [
            ("\n", "is not a JSON object"),
            ("status\n", "is not a JSON object"),
            ("{\"version\":1,\"command\":\"status\"", "has no line end"),
            ("{\"version\":1,\"command\":\"halt\"}\n", "\\\"halt\\\" is not a command"),
            (&format!("{largest} \n"), "is longer than 4096 bytes"),
            (&"x".repeat(1 << 20), "is longer than 4096 bytes"),
        ] {
            let (mut client, mut ordered) = connect();
            // It may be closed before all is sent.
            let _ = client.write_all(sent.as_bytes()).await;
            let _ = client.shutdown().await;
            let answer = rest(&mut client).await;
            assert!(answer.contains(told) && answer.lines().count() == 1, "{told}: {answer}");
            assert!(ordered.recv().await.is_none(), "nothing is done");
        }
        assert_eq!(largest.len() + 1, REQUEST_BYTES_MAX);
        let (mut client, mut ordered) = connect();
        client.write_all(format!("{largest}\n").as_bytes()).await.unwrap();
        assert_eq!(ordered.recv().await.map(|order| order.command), Some(Command::Status));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_says_nothing_or_half_a_request_is_closed_after_ten_seconds() {
        for sent in ["", "{\"version\":1"] {
            let (mut client, _ordered) = connect();
            client.write_all(sent.as_bytes()).await.unwrap();
            let begun = tokio::time::Instant::now();
            assert!(rest(&mut client).await.contains("no request came within 10 s"));
            assert_eq!(begun.elapsed().as_secs(), 10);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_does_not_read_its_answer_is_closed_after_ten_seconds() {
        let (mut client, mut ordered) = connect();
        client.write_all(b"{\"version\":1,\"command\":\"reload\"}\n").await.unwrap();
        let revision = crate::catalog::Revision::of(&crate::catalog::CatalogFiles::default());
        // More than any socket's buffer holds.
        let faults = vec!["x".repeat(1000); 10_000].into();
        let order = ordered.recv().await.unwrap();
        order.asker.reply(Reply::ReloadRefused { revision, served: revision, faults });
        let begun = tokio::time::Instant::now();
        assert!(ordered.recv().await.is_none(), "the connection is over");
        assert_eq!(begun.elapsed().as_secs(), 10);
    }

    #[tokio::test]
    async fn one_whose_command_nobody_answers_is_told_so() {
        let (mut client, mut ordered) = connect();
        client.write_all(b"{\"version\":1,\"command\":\"reload\"}\n").await.unwrap();
        client.shutdown().await.unwrap();
        drop(ordered.recv().await);
        assert!(rest(&mut client).await.contains("the instance ended before it had an answer"));
    }
}
