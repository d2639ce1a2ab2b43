//! A catalogue on its way to the fronts, with the places of its entities, whose limits it sets, and with their labels.

use std::sync::Arc;

use rustls::pki_types::UnixTime;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::admission::registry::Registry;
use crate::catalog::timestamp::Timestamp;
use crate::compiled::Snapshot;
use crate::front::Published;
use crate::observe::LabelRegistry;
use crate::tls::setup::TlsSetup;

/// A catalogue that is being prepared. The registry of places is with it meanwhile.
#[derive(Debug)]
pub struct Preparation(JoinHandle<Prepared>);

/// A catalogue that only has to be given to the fronts.
#[derive(Debug)]
pub struct Prepared {
    pub(super) registry: Registry,
    pub(super) published: Arc<Published>,
}

impl Preparation {
    /// Prepares a catalogue on one of the threads of `control` that may take long.
    pub(super) fn begin(
        control: &Handle,
        registry: Registry,
        labels: Arc<LabelRegistry>,
        snapshot: Arc<Snapshot>,
        tls: TlsSetup,
    ) -> Self {
        Self(control.spawn_blocking(move || prepare(registry, &labels, snapshot, tls)))
    }

    /// Waits until it is prepared. May be dropped and called again until then.
    pub async fn done(&mut self) -> Prepared {
        match (&mut self.0).await {
            Ok(prepared) => prepared,
            // In service a panic has ended the process by now.
            Err(failed) if failed.is_panic() => std::panic::resume_unwind(failed.into_panic()),
            // The runtime is shutting down.
            Err(_) => std::future::pending().await,
        }
    }
}

/// Finds the places and the labels of a catalogue, which takes some milliseconds for ten thousand entities, and tells what it says of itself.
pub(super) fn prepare(
    mut registry: Registry,
    labels: &LabelRegistry,
    snapshot: Arc<Snapshot>,
    tls: TlsSetup,
) -> Prepared {
    for note in snapshot.notes() {
        tracing::info!("{note}");
    }
    let places = Arc::new(registry.publish(&snapshot, now()));
    let labels = labels.publish(&snapshot);
    Prepared { registry, published: Arc::new(Published { snapshot, places, labels, tls }) }
}

/// The time of the host.
pub(super) fn now() -> Timestamp {
    Timestamp::from_unix(UnixTime::now().as_secs())
}
