//! `ringgate serve`: runs an instance until it is told to stop.

use crate::catalog::timestamp::Timestamp;
use crate::compiled::Snapshot;
use crate::config::InstanceConfig;
use crate::control::binding::bind_patiently;
use crate::control::files::looker::{Found, Start};
use crate::control::files::store;
use crate::control::instance::{Instance, StartError};
use crate::control::publisher::Publisher;
use crate::control::signals::{Requests, StopRequest, StopSignals};
use crate::limits::{CATALOG_UPKEEP, CUT_MS, DRAIN_OVERTIME_MS, FILE_PATIENCE, open_files_reserve};
use crate::observe::publishes::LastPublish;
use crate::process::cores::{CorePlan, usable_cores};
use crate::process::fatal::end_process_on_panic;
use crate::process::files::watchdog::Watchdog;
use crate::process::log;
use crate::process::open_files::{open_files_max, raise_open_files};
use crate::services::echo::EchoBackend;
use crate::services::runtime::ServicesRuntime;
use crate::services::status_page::StatusPage;
use crate::telemetry::Observed;
use crate::telemetry::text::log_lines;
use anyhow::{Context, Result, bail};
use rustls::pki_types::UnixTime;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior};

/// Runs the instance of a configuration file, or the built-in echo API without one.
pub fn run(config: Option<&Path>) -> ExitCode {
    match serve(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::say(&format!("ringgate: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn serve(config: Option<&Path>) -> Result<()> {
    end_process_on_panic();
    let control = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the control thread")?;
    let result = control.block_on(run_instance(config));
    // A look-up or a write that hangs on one of its blocking threads keeps nobody from ending.
    control.shutdown_background();
    result
}

/// Starts the instance of a configuration, and serves until it has ended. Runs on the control thread.
async fn run_instance(config: Option<&Path>) -> Result<()> {
    let handle = Handle::current();
    let mut signals = StopSignals::catch().context("cannot catch signals")?;
    let report_requests = Requests::for_reports().context("cannot catch signals")?;
    let look_requests = Requests::for_looks().context("cannot catch signals")?;
    let (start, echo) = match config {
        Some(file) => {
            let start = tokio::select! {
                start = read_in_time(file.to_owned()) => start?,
                _ = signals.next() => {
                    tracing::info!("ended before it had read its files");
                    return Ok(());
                }
            };
            (start, None)
        }
        None => {
            let echo = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
            let echo = echo.context("cannot start the built-in echo backend")?;
            (Start::built_in(store::built_in(echo.local_addr()?), UnixTime::now())?, Some(echo))
        }
    };
    let Start { config: instance_config, source, served } = start;
    // Services live as long as the instance does, its drain included.
    let workers = instance_config.workers.map(|workers| workers as usize);
    let cores = CorePlan::of(&usable_cores().context("cannot tell the cores of this process")?, workers);
    let services = ServicesRuntime::start(cores.left_over().to_vec());
    let services = services.context("cannot start the thread of the services")?;
    let echo = echo.map(|listener| start_echo(services.handle(), listener)).transpose();
    let echo = echo.context("cannot start the built-in echo backend")?;
    let what_is_open = describe(config, &served.snapshot);
    let status = instance_config.status.clone();
    let status =
        status.map(|status| Ok::<_, StartError>((bind_status(status.address)?, status.hosts))).transpose()?;
    let echo_files = if echo.is_some() { echo_connections_max() } else { 0 };
    let snapshot = served.snapshot.clone();
    let mut instance = Instance::start(&instance_config, snapshot, served.setup(), &handle, echo_files)?;
    let revision = served.revision;
    let first = LastPublish { at: now(), revision, served: revision, fault_count: 0, faults: Vec::new() };
    instance.publishes().note(first);
    let publisher = source.map(|source| Publisher::start(source, served));
    handle.spawn(report_on_request(report_requests, instance.observed()));
    let status = status
        .map(|(listener, hosts)| StatusPage::start(services.handle(), listener, hosts, instance.observed()))
        .transpose()
        .context("cannot serve the status page")?;
    log::print(&announcement(&instance, &instance_config, status.as_ref(), &what_is_open));
    wait_for_end(&mut instance, publisher, look_requests, &mut signals, instance_config.drain_s).await
}

/// Reads all files of an instance, on a thread of its own: signals are heard meanwhile.
///
/// # Errors
/// What is wrong with the files, or that one of them does not answer.
async fn read_in_time(file: PathBuf) -> Result<Start> {
    let (sender, mut start) = oneshot::channel();
    let mut watchdog = Watchdog::default();
    let read = move || drop(sender.send(Start::read(&file, UnixTime::now())));
    watchdog.spawn("files", read).context("cannot start a thread")?;
    let mut looks = tokio::time::interval(CATALOG_UPKEEP);
    loop {
        tokio::select! {
            start = &mut start => return Ok(start.context("the look at the files broke")??),
            _ = looks.tick() => if let Some(path) = watchdog.look(Instant::now()) {
                bail!("{} does not answer for {} s", path.display(), FILE_PATIENCE.as_secs());
            }
        }
    }
}

fn now() -> Timestamp {
    Timestamp::from_unix(UnixTime::now().as_secs())
}

/// The status page's listener. Bound before the workers start, so that a wrong address ends nothing that runs.
fn bind_status(address: SocketAddr) -> Result<TcpListener, StartError> {
    bind_patiently(address, || TcpListener::bind(address))
        .map_err(|source| StartError::Listen { address, source })
}

/// Puts the counters into the log whenever it is asked to, for ever.
async fn report_on_request(mut requests: Requests, observed: Observed) {
    loop {
        requests.next().await;
        log::say(&log_lines(&observed));
    }
}

fn start_echo(services: &Handle, listener: TcpListener) -> std::io::Result<EchoBackend> {
    raise_open_files()?;
    EchoBackend::start(services, listener, echo_connections_max() as usize)
}

/// The built-in backend takes one open file for each session, whose gateway takes two: it gets a third of what there is.
fn echo_connections_max() -> u64 {
    open_files_max().saturating_sub(open_files_reserve(1)) / 3
}

/// Does what an instance needs while it serves, until it is told to stop, and waits for its end.
async fn wait_for_end(
    instance: &mut Instance,
    mut publisher: Option<Publisher>,
    mut look_requests: Requests,
    signals: &mut StopSignals,
    drain_s: u64,
) -> Result<()> {
    let mut upkeep = tokio::time::interval(CATALOG_UPKEEP);
    upkeep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            ended = instance.ended() => {
                ended.map_err(anyhow::Error::msg)?;
                bail!("all workers ended by themselves");
            }
            _ = signals.next() => break,
            _ = upkeep.tick() => {
                instance.end_revoked(now());
                instance.let_go_of_retired();
                if let Some(publisher) = &mut publisher {
                    publisher.look_after(instance, Instant::now());
                }
            }
            found = found(&mut publisher) => {
                if let Some(publisher) = &mut publisher {
                    publisher.publish(found, instance, now());
                }
            }
            () = look_requests.next() => {
                if let Some(publisher) = &mut publisher {
                    publisher.request_look();
                }
            }
        }
    }
    // What changes from here on is of nobody's concern.
    drop(publisher);
    log::say(&format!("draining for at most {drain_s} s; a second signal ends at once"));
    instance.drain();
    let patience = Duration::from_millis(drain_s * 1000 + DRAIN_OVERTIME_MS);
    loop {
        tokio::select! {
            ended = tokio::time::timeout(patience, instance.ended()) => {
                match ended {
                    Ok(Ok(())) => log::say("drained"),
                    Ok(Err(message)) => bail!(message),
                    Err(_) => log::say("drained; openings that were still in progress are cut"),
                }
                return Ok(());
            }
            request = signals.next() => match request {
                StopRequest::AtOnce => {
                    // Openings in progress are not waited for.
                    instance.cut();
                    let _ = tokio::time::timeout(Duration::from_millis(CUT_MS), instance.ended()).await;
                    log::say("ended at once");
                    return Ok(());
                }
                StopRequest::Drain => {}
            }
        }
    }
}

/// What a look at the files has found; for ever in coming where there are none.
async fn found(publisher: &mut Option<Publisher>) -> Found {
    match publisher {
        Some(publisher) => publisher.found().await,
        None => std::future::pending().await,
    }
}

/// One line for each API that is served: its suffix and its backend.
fn describe(config: Option<&Path>, snapshot: &Snapshot) -> Vec<String> {
    snapshot
        .served()
        .iter()
        .map(|api| {
            let backend = match config {
                Some(_) => api.backend.to_string(),
                None => "the built-in echo server".to_owned(),
            };
            format!("/{} → {} ({})", snapshot.path_of(api), backend, api.display_name)
        })
        .collect()
}

/// What is open and how to try it.
fn announcement(
    instance: &Instance,
    config: &InstanceConfig,
    status: Option<&StatusPage>,
    what_is_open: &[String],
) -> String {
    let mut text = String::new();
    let mut add = |line: std::fmt::Arguments<'_>| {
        writeln!(text, "{line}").expect("writing to a String does not fail");
    };
    let count = instance.workers();
    let (places, from) = (instance.places().limit(), instance.sessions_from());
    let plural = if count == 1 { "" } else { "s" };
    add(format_args!("ringgate is open: {count} worker{plural}, at most {places} sessions ({from})"));
    for (address, listener) in instance.addresses().iter().zip(&config.listeners) {
        add(format_args!("  listening on {}://{address}", listener.scheme()));
    }
    if let Some(status) = status {
        add(format_args!("  status page on http://{}/", status.address()));
    }
    for line in what_is_open {
        add(format_args!("  {line}"));
    }
    if what_is_open.is_empty() {
        add(format_args!("  no API is published: put one into the catalogue's apis folder"));
    }
    if let (Some(address), Some(line), Some(listener)) =
        (instance.addresses().first(), what_is_open.first(), config.listeners.first())
    {
        let scheme = listener.scheme();
        let path = line.split(' ').next().unwrap_or("/");
        add(format_args!(
            "try it: npx wscat -c {scheme}://{address}{path}    or: python3 -m websockets {scheme}://{address}{path}"
        ));
    }
    text
}
