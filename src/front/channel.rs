//! A connection of an opening, plain or with TLS.
//!
//! With TLS it behaves like a plain one: received and sent bytes are payload, and the peer's close_notify is the end of the
//! payload. The handshake comes first, by [`Channel::handshake`].

use super::head_reader::{Awaited, receive_until};
use super::refusal::shut;
use super::socket::{HangUp, until};
use super::stream::Stream;
use crate::head::Method;
use crate::limits::HEAD_READ_BYTES;
use crate::tls::endpoint::{Endpoint, EndpointFault, Established};
use crate::tls::handshake::HandshakeFault;
use bytes::Bytes;
use std::cell::{Cell, Ref, RefCell};
use std::io;
use std::net::Shutdown;
use std::rc::Rc;
use tokio::time::Instant;

/// A connection and, if it is under TLS, this end of it.
#[derive(Debug)]
pub(super) struct Channel<S> {
    stream: Rc<S>,
    tls: Option<RefCell<Box<Endpoint>>>,
    /// The stream ended, but TLS did not.
    is_truncated: Cell<bool>,
}

/// The parts of a channel that outlive its opening. Nothing is in flight on them.
#[derive(Debug)]
pub(super) struct HandedOver<H> {
    pub(super) handle: H,
    pub(super) tls: Option<Box<Endpoint>>,
}

/// Why there is no TLS on a channel.
#[derive(Debug)]
pub(super) enum NoHandshake {
    /// Its peer speaks HTTP without TLS, with this method.
    IsPlainHttp(Method),
    /// The peer broke the rules of TLS, or is not to be trusted.
    Faulty(EndpointFault),
    /// The stream ended.
    Ended,
    /// The connection broke.
    Broken(io::Error),
    /// The deadline passed.
    Late,
    /// The reader was told to stop.
    Stopped,
}

impl<S: Stream> Channel<S> {
    /// A plain one.
    pub(super) fn plain(stream: Rc<S>) -> Self {
        Self { stream, tls: None, is_truncated: Cell::new(false) }
    }

    /// One under TLS; its handshake is still to be done.
    pub(super) fn secured(stream: Rc<S>, endpoint: Endpoint) -> Self {
        Self { tls: Some(RefCell::new(Box::new(endpoint))), ..Self::plain(stream) }
    }

    /// Whether it is under TLS.
    pub(super) fn is_secured(&self) -> bool {
        self.tls.is_some()
    }

    /// Returns the facts about its TLS connection, once the handshake is over.
    pub(super) fn established(&self) -> Option<Ref<'_, Established>> {
        Ref::filter_map(self.tls.as_ref()?.borrow(), |tls| tls.established()).ok()
    }

    /// Goes on without TLS, for a peer that speaks none.
    pub(super) fn give_up_tls(&mut self) {
        self.tls = None;
    }

    /// The connection under it.
    pub(super) fn stream(&self) -> &S {
        &self.stream
    }

    /// Does the handshake. When it failed, an alert was sent if there was one to send.
    ///
    /// # Errors
    /// Why there is no TLS. Nothing but an answer without TLS, or the end, may follow.
    pub(super) async fn handshake(
        &self,
        deadline: Instant,
        stop: impl Future<Output = ()>,
        interrupt: impl AsyncFn(),
    ) -> Result<(), NoHandshake> {
        let Some(tls) = &self.tls else { return Ok(()) };
        let mut stop = std::pin::pin!(stop);
        loop {
            self.flush_until(deadline).await?;
            if tls.borrow().established().is_some() {
                return Ok(());
            }
            let receive = self.stream.receive(Vec::new(), HEAD_READ_BYTES);
            let received = match receive_until(receive, deadline, stop.as_mut(), &interrupt).await {
                Awaited::Done(Ok(0), _) => return Err(NoHandshake::Ended),
                Awaited::Done(Ok(_), received) => received,
                Awaited::Done(Err(error), _) => return Err(NoHandshake::Broken(error)),
                Awaited::Late(_) => return Err(NoHandshake::Late),
                Awaited::Stopped(_) => return Err(NoHandshake::Stopped),
            };
            let result = tls.borrow_mut().receive(&received);
            if let Err(EndpointFault::Handshake(HandshakeFault::PlainHttp)) = result {
                return Err(NoHandshake::IsPlainHttp(Method::begun_by(&received)));
            }
            if let Err(fault) = result {
                // The alert may not be taken, which changes nothing.
                let _ = self.flush_until(deadline).await;
                return Err(NoHandshake::Faulty(fault));
            }
        }
    }

    async fn flush_until(&self, deadline: Instant) -> Result<(), NoHandshake> {
        match until(self.flush(), deadline, || shut(&*self.stream, Shutdown::Both)).await {
            (_, true) => Err(NoHandshake::Late),
            (result, false) => result.map_err(NoHandshake::Broken),
        }
    }

    /// Sends what TLS has to send.
    async fn flush(&self) -> io::Result<()> {
        let Some(tls) = &self.tls else { return Ok(()) };
        let to_send = tls.borrow_mut().take_to_send();
        if to_send.is_empty() { Ok(()) } else { self.stream.send_all(to_send.into()).await }
    }
}

fn of_tls(fault: EndpointFault) -> io::Error {
    io::Error::other(fault)
}

impl<S: Stream> Stream for Channel<S> {
    type Handle = HandedOver<S::Handle>;

    async fn receive(&self, mut buffer: Vec<u8>, room_bytes: usize) -> (io::Result<usize>, Vec<u8>) {
        let Some(tls) = &self.tls else { return self.stream.receive(buffer, room_bytes).await };
        loop {
            let taken = tls.borrow_mut().take_payload(&mut buffer, room_bytes);
            if taken > 0 || tls.borrow().has_peer_closed() {
                return (Ok(taken), buffer);
            }
            let (result, received) = self.stream.receive(Vec::new(), HEAD_READ_BYTES).await;
            match result {
                Ok(0) => {
                    self.is_truncated.set(true);
                    return (Ok(0), buffer);
                }
                Ok(_) => {}
                Err(error) => return (Err(error), buffer),
            }
            let result = tls.borrow_mut().receive(&received);
            let flushed = self.flush().await;
            if let Err(error) = result.map_err(of_tls).and(flushed) {
                return (Err(error), buffer);
            }
        }
    }

    async fn send_all(&self, bytes: Bytes) -> io::Result<()> {
        let Some(tls) = &self.tls else { return self.stream.send_all(bytes).await };
        let wrapped = tls.borrow_mut().seal(&bytes);
        wrapped.map_err(of_tls)?;
        self.flush().await
    }

    fn send_now(&self, bytes: &[u8]) -> io::Result<usize> {
        // A record is sent whole or not at all, and nothing is sent outside of one.
        if self.is_secured() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        self.stream.send_now(bytes)
    }

    async fn hang_up(&self) -> io::Result<HangUp> {
        self.stream.hang_up().await
    }

    async fn cancel_all(&self) -> io::Result<u32> {
        self.stream.cancel_all().await
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        if let Some(tls) = self.tls.as_ref().filter(|_| how == Shutdown::Write) {
            let mut tls = tls.borrow_mut();
            // The end of what is sent is said under TLS first. A socket without room for so few bytes has a peer that
            // does not read.
            tls.close();
            let _ = self.stream.send_now(&tls.take_to_send());
        }
        self.stream.shutdown(how)
    }

    fn reset_on_close(&self) -> io::Result<()> {
        self.stream.reset_on_close()
    }

    fn has_ended_cleanly(&self) -> bool {
        !self.is_truncated.get()
    }

    fn is_idle(&self) -> bool {
        Rc::strong_count(&self.stream) == 1 && self.stream.is_idle()
    }

    fn into_handle(self) -> Result<Self::Handle, Self> {
        let Self { stream, tls, is_truncated } = self;
        match Rc::try_unwrap(stream) {
            Ok(stream) => match stream.into_handle() {
                Ok(handle) => Ok(HandedOver { handle, tls: tls.map(RefCell::into_inner) }),
                Err(stream) => Err(Self { stream: Rc::new(stream), tls, is_truncated }),
            },
            Err(stream) => Err(Self { stream, tls, is_truncated }),
        }
    }
}
