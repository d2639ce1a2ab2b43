//! The verifying mode: tungstenite at the client's end, random contents, every byte compared.
//!
//! A thread for each session: slower than the generator, and no measurement. It catches a proxy that drops, reorders or
//! corrupts. Over TLS it is rustls' own client, which checks the certificate's chain, name and key.

use super::random::Random;
use super::{SECOND_NS, Target};
use crate::plan::Plan;
use crate::poller::now_ns;
use crate::result::RunResult;
use crate::tls::configs;
use anyhow::{Context, Result};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;
use tungstenite::Message;

/// Messages of one session that are on their way at once, so that an order can be broken.
const ON_THEIR_WAY: usize = 4;

/// Longest wait for a message, in seconds.
const PATIENCE_S: u64 = 5;

/// Runs the steady part of a plan with contents.
///
/// # Errors
/// The plan has no steady part.
pub fn run(plan: &Plan, plan_name: &str, target: &Target, seed: u64) -> Result<RunResult> {
    let steady = plan.steady.as_ref().context("a verifying plan has a steady part")?;
    let end = now_ns() + (plan.duration_s * SECOND_NS) as u64;
    let sizes: Vec<usize> = steady.sizes.iter().map(|size| size.bytes).collect();
    let tls = match plan.tls {
        None => None,
        Some(_) => Some((target.tls()?.address, configs::verifying_client(&target.tls()?.credentials)?)),
    };
    let plain_sessions = if tls.is_some() { steady.plain_sessions } else { steady.sessions };
    let outcomes: Vec<Result<u64>> = std::thread::scope(|scope| {
        let sessions: Vec<_> = (0..steady.sessions as u64)
            .map(|session| {
                let (sizes, random) = (&sizes, Random::new(seed ^ session << 32));
                let tls = tls.as_ref().filter(|_| session >= plain_sessions as u64);
                scope.spawn(move || match tls {
                    None => exchange(connect(target.address)?, target.address, random, sizes, end),
                    Some((address, config)) => {
                        exchange(connect_tls(*address, config)?, *address, random, sizes, end)
                    }
                })
            })
            .collect();
        sessions
            .into_iter()
            .map(|session| {
                session.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a session's thread failed")))
            })
            .collect()
    });
    let mut result = RunResult {
        plan: plan_name.to_owned(),
        target: target.name.clone(),
        seed,
        window_s: plan.duration_s,
        ..RunResult::default()
    };
    for outcome in outcomes {
        match outcome {
            Ok(messages) => result.messages += messages,
            Err(fault) => result.faults.push(format!("{fault:#}")),
        }
    }
    if !result.faults.is_empty() {
        result.thrown_out.push(format!("{} faults", result.faults.len()));
    }
    Ok(result)
}

fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(PATIENCE_S)))?;
    Ok(stream)
}

fn connect_tls(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
) -> Result<StreamOwned<ClientConnection, TcpStream>> {
    let connection = ClientConnection::new(Arc::clone(config), ServerName::try_from("localhost")?)?;
    Ok(StreamOwned::new(connection, connect(address)?))
}

fn exchange(
    stream: impl Read + Write,
    address: SocketAddr,
    mut random: Random,
    sizes: &[usize],
    end: u64,
) -> Result<u64> {
    let (mut socket, _) = tungstenite::client(format!("ws://{address}/"), stream)
        .map_err(|error| anyhow::anyhow!("an opening failed: {error}"))?;
    let mut on_their_way: VecDeque<Vec<u8>> = VecDeque::new();
    let mut back = 0;
    loop {
        while on_their_way.len() < ON_THEIR_WAY && now_ns() < end {
            let size = sizes[(random.next() % sizes.len() as u64) as usize];
            let content: Vec<u8> = (0..size).map(|_| random.next() as u8).collect();
            socket.send(Message::binary(content.clone())).context("a message cannot be sent")?;
            on_their_way.push_back(content);
        }
        let Some(expected) = on_their_way.pop_front() else { break };
        let got = socket.read().with_context(|| format!("message {back} did not come back"))?;
        anyhow::ensure!(
            got == Message::binary(expected),
            "message {back} came back with other contents or out of order"
        );
        back += 1;
    }
    let _ = socket.close(None);
    Ok(back)
}
