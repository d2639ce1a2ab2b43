//! Whether the addresses of an instance are free, without taking them.
//!
//! Nothing listens here, so no client notices a check.
//!
//! Not here: binding them for an instance (`binding`).

use core::net::SocketAddr;
use std::io;

use super::holder_of;
use crate::config::InstanceConfig;
use crate::control::instance::StartError;
use crate::front::listener::check_free;

/// What was found out about the addresses of an instance.
#[derive(Debug, Default)]
pub struct AddressFindings {
    /// The instance could not listen.
    pub faults: Vec<StartError>,
    /// An address that the running instance holds, in words.
    pub notes: Vec<String>,
}

/// Looks at every address of `config`; one that process `own`, which runs the instance already, holds is only noted.
pub fn look(config: &InstanceConfig, own: Option<i32>) -> AddressFindings {
    let mut findings = AddressFindings::default();
    // In the order in which a start takes them. A service takes IPv4 on [::] too, a listener does not.
    let status = config.status.iter().map(|status| (status.address, false));
    let listeners = config.listeners.iter().map(|listener| (listener.address, true));
    for (address, is_only_v6) in status.chain(listeners) {
        match check_free(address, is_only_v6) {
            Ok(()) => {}
            Err(error) if is_own(&error, address, own) => findings.notes.push(format!(
                "{address} is held by the instance that runs already{}",
                own.map(|process| format!(" (process {process})")).unwrap_or_default()
            )),
            // It serves without its status page until the address is free.
            Err(error) if !is_only_v6 && error.kind() == io::ErrorKind::AddrInUse => findings.notes.push(format!(
                "status.address {address} is in use{}; an instance starts without its status page, and takes the address as soon \
                 as it is free",
                holder_of(address).map(|process| format!(" by process {process}")).unwrap_or_default()
            )),
            Err(error) => findings.faults.push(StartError::listen(address, error)),
        }
    }
    findings
}

fn is_own(error: &io::Error, address: SocketAddr, own: Option<i32>) -> bool {
    let is_held = || holder_of(address) == own;
    error.kind() == io::ErrorKind::AddrInUse && own.is_some() && is_held()
}
