//! Checks whether the addresses of an instance are free, without taking them.
//!
//! The check does not listen, so no client notices it.
//!
//! Not here: binding them for an instance (`binding`).

use core::net::SocketAddr;
use std::io;

use super::holder_of;
use crate::config::InstanceConfig;
use crate::control::instance::StartError;
use crate::front::listener::check_free;

/// The findings about the addresses of an instance.
#[derive(Debug, Default)]
pub struct AddressFindings {
    /// Addresses on which the instance could not listen.
    pub faults: Vec<StartError>,
    /// Addresses that the running instance holds, in words.
    pub notes: Vec<String>,
}

/// Checks every address of `config`; one that process `own`, which already runs the instance, holds is only noted.
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
