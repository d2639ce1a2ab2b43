//! The answer to `status`: the state of an instance at one moment.

use std::sync::Arc;

use crate::config::InstanceConfig;
use crate::control::instance::Instance;
use crate::observe::publishes::LastPublish;
use crate::observe::state::State;

/// A used amount and its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// The used amount.
    pub taken: u64,
    /// The limit.
    pub limit: u64,
}

/// The state of an instance.
#[derive(Debug)]
pub struct Status {
    /// Whether it serves, drains or ends.
    pub state: State,
    /// For how long it has served.
    pub uptime_s: u64,
    /// How many workers it has.
    pub workers: usize,
    /// Where it listens: URLs.
    pub listeners: Vec<String>,
    /// Sessions that were opened and whose sockets are not both closed yet.
    pub sessions: u64,
    /// Places of sessions; openings that wait for a backend, and sessions that linger, hold one too.
    pub places: Room,
    /// The source of the number of places.
    pub places_from: String,
    /// Openings that read a request head.
    pub reading: Room,
    /// Openings that wait for a backend.
    pub pending: Room,
    /// The catalogue that is served.
    pub catalogue: CatalogueStatus,
}

/// The catalogue that is served, and the outcome of the last attempt to publish one.
#[derive(Debug)]
pub struct CatalogueStatus {
    /// How many APIs it serves.
    pub apis: usize,
    /// How many were published, the first included.
    pub published: u64,
    /// How many were refused.
    pub refused: u64,
    /// The last attempt, and the catalogue that is served.
    pub last: Arc<LastPublish>,
    /// Files and folders whose file systems do not answer.
    pub hanging: Vec<String>,
}

impl Status {
    /// Describes `instance`, which has served for so long.
    pub(in crate::control) fn of(
        instance: &Instance,
        config: &InstanceConfig,
        last: Arc<LastPublish>,
        uptime_s: u64,
    ) -> Self {
        let (budgets, publishes) = (instance.budgets(), instance.publishes());
        let room = |taken: u32, limit: u32| Room { taken: taken.into(), limit: limit.into() };
        let listeners = instance.addresses().iter().zip(&config.listeners);
        Self {
            state: instance.state(),
            uptime_s,
            workers: instance.workers(),
            listeners: listeners
                .map(|(address, listener)| format!("{}://{address}", listener.scheme()))
                .collect(),
            sessions: instance.open_sessions(),
            places: room(budgets.sessions().taken(), budgets.sessions().limit()),
            places_from: instance.sessions_from().to_string(),
            reading: room(budgets.openings().taken(), budgets.openings().limit()),
            pending: room(budgets.pending().taken(), budgets.pending().limit()),
            catalogue: CatalogueStatus {
                apis: instance.snapshot().served().len(),
                published: publishes.published(),
                refused: publishes.refused(),
                last,
                hanging: publishes.hanging_paths(),
            },
        }
    }
}
