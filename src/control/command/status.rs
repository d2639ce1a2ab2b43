//! The answer to `status`: how an instance is, at one moment.

use std::sync::Arc;

use crate::config::InstanceConfig;
use crate::control::instance::Instance;
use crate::observe::publishes::LastPublish;
use crate::observe::state::State;

/// What is taken, of how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// What is taken.
    pub taken: u64,
    /// How much there is.
    pub limit: u64,
}

/// How an instance is.
#[derive(Debug)]
pub struct Status {
    /// What it does.
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
    /// What says how many places there are.
    pub places_from: String,
    /// Openings that read a request head.
    pub reading: Room,
    /// Openings that wait for a backend.
    pub pending: Room,
    /// The catalogue that is served.
    pub catalogue: CatalogueStatus,
}

/// Which catalogue is served, and what became of the one that was tried last.
#[derive(Debug)]
pub struct CatalogueStatus {
    /// How many APIs it serves.
    pub apis: usize,
    /// How many were published, the first included.
    pub published: u64,
    /// How many were refused.
    pub refused: u64,
    /// The one that was tried last, and which one is served.
    pub last: Arc<LastPublish>,
    /// Files and folders whose file systems do not answer.
    pub hanging: Vec<String>,
}

impl Status {
    /// How `instance` is, which has served for so long.
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
