//! The thread of the services: a tokio runtime that comes after everything that opens and carries sessions.
//!
//! The property to trust: a service, however slow, delays no publish, no signal, no command and no look-up of a name: those run
//! on the control thread. The thread has nice +10, and runs on cores without a worker where there are any.
//!
//! It is one thread: a service that blocks delays the other services, and nobody else.
//!
//! Not here: what is served.

use std::io;
use std::sync::mpsc;
use std::thread;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::process::cores::{CoreIndex, pin_current_thread};
use crate::process::scheduling::come_last;

/// The running thread. Dropping this ends it as soon as it comes to it; nobody waits for that.
#[derive(Debug)]
pub struct ServicesRuntime {
    handle: Handle,
    _until: oneshot::Sender<()>,
}

impl ServicesRuntime {
    /// Starts the thread on these cores; on any if there are none.
    ///
    /// # Errors
    /// The system gives no thread or no runtime.
    pub fn start(cores: Vec<CoreIndex>) -> io::Result<Self> {
        let (until, is_over) = oneshot::channel();
        let (started, is_started) = mpsc::channel();
        thread::Builder::new().name("services".to_owned()).spawn(move || {
            if let Err(error) = come_last() {
                tracing::warn!(%error, "cannot lower the priority of the services thread; it competes with the workers for their cores");
            }
            if let Err(error) = if cores.is_empty() { Ok(()) } else { pin_current_thread(&cores) } {
                tracing::warn!(%error, "the services are not kept off the cores of workers");
            }
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(started.send(Err(error))),
            };
            let _ = started.send(Ok(runtime.handle().clone()));
            // It ends without a word when its owner is dropped.
            let _ = runtime.block_on(is_over);
            runtime.shutdown_background();
        })?;
        let handle = is_started.recv().map_err(|_| io::Error::other("it ended while it started"))??;
        Ok(Self { handle, _until: until })
    }

    /// Where services are started.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::cores::usable_cores;

    #[test]
    fn is_a_thread_of_its_own_that_is_nice_and_on_the_cores_that_it_was_given() {
        let cores = usable_cores().unwrap();
        let given = vec![*cores.last().expect("a core")];
        let services = ServicesRuntime::start(given.clone()).unwrap();
        let (tell, told) = mpsc::channel();
        services.handle().spawn(async move {
            let nice = rustix::process::getpriority_process(None).unwrap();
            let name = thread::current().name().map(str::to_owned);
            tell.send((name, nice, usable_cores().unwrap())).unwrap();
        });
        let (name, nice, on) = told.recv().unwrap();
        assert_eq!((name.as_deref(), on), (Some("services"), given));
        assert!(nice >= 10, "{nice}");
    }

    #[test]
    fn runs_anywhere_where_no_core_is_left_for_it() {
        let services = ServicesRuntime::start(Vec::new()).unwrap();
        let (tell, told) = mpsc::channel();
        services.handle().spawn(async move { tell.send(usable_cores().unwrap()) });
        assert_eq!(told.recv().unwrap(), usable_cores().unwrap());
    }

    #[test]
    fn ends_with_its_owner() {
        let services = ServicesRuntime::start(Vec::new()).unwrap();
        let (held, is_dropped) = oneshot::channel::<()>();
        services.handle().spawn(async move {
            let _held = held;
            std::future::pending::<()>().await;
        });
        drop(services);
        assert!(is_dropped.blocking_recv().is_err());
    }
}
