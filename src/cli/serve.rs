//! `ringgate serve`: runs an instance until it is told to stop.

use crate::catalog::timestamp::Timestamp;
use crate::catalog::{Fault, InstanceConfig, Snapshot};
use crate::control::binding::bind_patiently;
use crate::control::echo::EchoBackend;
use crate::control::instance::{Instance, StartError};
use crate::control::publisher::{Looked, Publisher, Source};
use crate::control::signals::{Requests, StopRequest, StopSignals};
use crate::control::status::StatusPage;
use crate::control::store::{self, Loaded};
use crate::control::tls_files::TlsFiles;
use crate::daemon::open_files::{open_files_max, raise_open_files};
use crate::limits::{CATALOG_UPKEEP, CUT_MS, DRAIN_OVERTIME_MS, TLS_FILES_LOOK, open_files_reserve};
use crate::observe::Observed;
use crate::observe::publishes::LastPublish;
use crate::observe::text::log_lines;
use crate::telemetry;
use crate::tls::files::FileFault;
use anyhow::{Context, Result, bail};
use rustls::pki_types::UnixTime;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::MissedTickBehavior;

/// Runs the instance of a configuration file, or the built-in echo API without one.
pub fn run(config: Option<&Path>) -> ExitCode {
    match serve(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            telemetry::say(&format!("ringgate: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn serve(config: Option<&Path>) -> Result<()> {
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
    // The echo backend lives as long as the instance does.
    let (loaded, echo) = match config {
        Some(file) => (store::load(file).map_err(Faults)?, None),
        None => {
            let echo = start_echo(&handle).context("cannot start the built-in echo backend")?;
            (store::built_in(echo.address()), Some(echo))
        }
    };
    let Loaded { config: instance_config, snapshot, revision } = loaded;
    let source = config.map(|file| Source::of(file, &instance_config));
    let snapshot = match &source {
        Some(source) => source.with_keys(snapshot).map_err(|fault| Faults(vec![fault]))?,
        None => snapshot,
    };
    let snapshot = Arc::new(snapshot);
    let folder = config.and_then(Path::parent).unwrap_or(Path::new(""));
    let tls = TlsFiles::load(&instance_config, &snapshot, folder, UnixTime::now()).map_err(FileFaults)?;
    let what_is_open = describe(config, &snapshot);
    let status_listener = instance_config.status.map(bind_status).transpose()?;
    let echo_files = if echo.is_some() { echo_connections_max() } else { 0 };
    let mut instance = Instance::start(&instance_config, snapshot, tls, &handle, echo_files)?;
    let first = LastPublish { at: now(), revision, served: revision, fault_count: 0, faults: Vec::new() };
    instance.publishes().note(first);
    let publisher = source.map(|source| Publisher::start(source, revision));
    handle.spawn(report_on_request(report_requests, instance.observed()));
    // The page is served for as long as the instance lives, its drain included.
    let status = status_listener
        .map(|listener| StatusPage::start(&handle, listener, instance.observed()))
        .transpose()
        .context("cannot serve the status page")?;
    telemetry::print(&announcement(&instance, &instance_config, status.as_ref(), &what_is_open));
    wait_for_end(&mut instance, publisher, look_requests, &mut signals, instance_config.drain_s).await
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
        telemetry::say(&log_lines(&observed));
    }
}

fn start_echo(control: &Handle) -> Result<EchoBackend> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    raise_open_files()?;
    Ok(EchoBackend::start(control, listener, echo_connections_max() as usize)?)
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
    let mut looks = tokio::time::interval(TLS_FILES_LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut upkeep = tokio::time::interval(CATALOG_UPKEEP);
    upkeep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            ended = instance.ended() => {
                ended.map_err(anyhow::Error::msg)?;
                bail!("all workers ended by themselves");
            }
            _ = signals.next() => break,
            _ = looks.tick() => instance.look_at_tls_files(UnixTime::now()),
            _ = upkeep.tick() => {
                instance.end_revoked(now());
                instance.let_go_of_retired();
            }
            looked = looked(&mut publisher) => {
                if let Some(publisher) = &mut publisher {
                    publisher.publish(looked, instance, now());
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
    telemetry::say(&format!("draining for at most {drain_s} s; a second signal ends at once"));
    instance.drain();
    let patience = Duration::from_millis(drain_s * 1000 + DRAIN_OVERTIME_MS);
    loop {
        tokio::select! {
            ended = tokio::time::timeout(patience, instance.ended()) => {
                match ended {
                    Ok(Ok(())) => telemetry::say("drained"),
                    Ok(Err(message)) => bail!(message),
                    Err(_) => telemetry::say("drained; openings that were still in progress are cut"),
                }
                return Ok(());
            }
            request = signals.next() => match request {
                StopRequest::AtOnce => {
                    // Openings in progress are not waited for.
                    instance.cut();
                    let _ = tokio::time::timeout(Duration::from_millis(CUT_MS), instance.ended()).await;
                    telemetry::say("ended at once");
                    return Ok(());
                }
                StopRequest::Drain => {}
            }
        }
    }
}

/// What a look at the catalogue's files came to; for ever in coming where there are none.
async fn looked(publisher: &mut Option<Publisher>) -> Looked {
    match publisher {
        Some(publisher) => publisher.looked().await,
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

/// All faults of a configuration, one a line.
#[derive(Debug)]
struct Faults(Vec<Fault>);

impl std::error::Error for Faults {}

impl std::fmt::Display for Faults {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "the configuration is not correct")?;
        for fault in &self.0 {
            write!(formatter, "\n  {fault}")?;
        }
        Ok(())
    }
}

/// All that is wrong with files of certificates, one a line.
#[derive(Debug)]
struct FileFaults(Vec<FileFault>);

impl std::error::Error for FileFaults {}

impl std::fmt::Display for FileFaults {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "the files of certificates cannot be used")?;
        for fault in &self.0 {
            write!(formatter, "\n  {fault}")?;
        }
        Ok(())
    }
}
