//! `ringgate serve`: runs an instance until it is told to stop.
//!
//! The main thread is the control thread. What a start takes long over, files, addresses in use, a large catalogue, is waited for
//! without blocking it, so that signals are heard meanwhile.
//!
//! Not here: what an instance does while it serves (`control::serving`).

use crate::compiled::Snapshot;
use crate::config::InstanceConfig;
use crate::control::binding::{BoundListeners, bind_for_service};
use crate::control::files::looker::{InstanceFiles, Served, Start};
use crate::control::files::store;
use crate::control::host::{HostFacts, HostLacks, HostNeeds, judge};
use crate::control::instance::{Instance, InstanceParts};
use crate::control::publisher::Publisher;
use crate::control::serving::{Doors, Serving};
use crate::control::signals::{CommandSignals, ReportRequests};
use crate::control::socket::ControlSocket;
use crate::control::socket::place::{ClaimedSocket, NoSocket, SocketPlace};
use crate::limits::{CATALOG_UPKEEP, FILE_PATIENCE, open_files_reserve};
use crate::process::cores::{CorePlan, usable_cores};
use crate::process::fatal::end_process_on_panic;
use crate::process::files::watchdog::Watchdog;
use crate::process::log;
use crate::process::open_files::raise_open_files;
use crate::services::echo::EchoBackend;
use crate::services::runtime::ServicesRuntime;
use crate::services::status_page::StatusPage;
use crate::telemetry::Observed;
use crate::telemetry::text::log_lines;
use anyhow::{Context, Result, bail};
use rustls::pki_types::UnixTime;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

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
    let mut signals = CommandSignals::catch().context("cannot catch signals")?;
    let report_requests = ReportRequests::catch().context("cannot catch signals")?;
    let ready = tokio::select! {
        ready = make_ready(config) => ready?,
        () = signals.stop_asked() => {
            tracing::info!("ended before it was open");
            return Ok(());
        }
    };
    // From here on signals are heard when it is open: that takes no time but that of the catalogue.
    ready.open(config, signals, report_requests).await
}

/// All that an instance needs to be open.
struct Ready {
    config: InstanceConfig,
    files: Option<InstanceFiles>,
    served: Arc<Served>,
    /// Of its own backend, if it has one.
    echo: Option<TcpListener>,
    cores: CorePlan,
    listeners: BoundListeners,
    status: Option<(TcpListener, Vec<String>)>,
    /// Where its control socket is to be, if nobody serves there.
    socket: Option<SocketPlace>,
}

/// Reads the files, takes addresses, and asks whether the control socket is free. May take long, and may be dropped.
///
/// # Errors
/// What is at fault, or not to be had.
async fn make_ready(file: Option<&Path>) -> Result<Ready> {
    let (Start { config, files, served, warnings }, echo) = match file {
        Some(file) => (read_in_time(file.to_owned()).await?, None),
        None => {
            let echo = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
            let echo = echo.context("cannot start the built-in echo backend")?;
            (Start::built_in(store::built_in(echo.local_addr()?), UnixTime::now())?, Some(echo))
        }
    };
    let socket = match SocketPlace::of(file, config.control_socket.as_deref()) {
        Some(place) => at_place(place, ClaimedSocket::check).await?.map(|(place, ())| place),
        None => None,
    };
    let workers = config.workers.map(|workers| workers as usize);
    let cores = CorePlan::of(&usable_cores().context("cannot tell the cores of this process")?, workers);
    warn(&warnings);
    let other_open_files = if echo.is_some() { echo_connections_max()? } else { 0 };
    let needs = HostNeeds::of(&config, cores.of_workers().len(), other_open_files);
    let judgement = judge(spawn_blocking(HostFacts::of_this_process).await?, &needs);
    warn(&judgement.warnings);
    if !judgement.faults.is_empty() {
        return Err(HostLacks(judgement.faults).into());
    }
    let status = match &config.status {
        Some(status) => Some((bind_for_service(status.address).await?, status.hosts.clone())),
        None => None,
    };
    let listeners = BoundListeners::bind(&config, cores.of_workers().len()).await?;
    Ok(Ready { config, files, served, echo, cores, listeners, status, socket })
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

/// What is said where an instance serves without a control socket because it cannot be where it is by default.
pub fn no_socket(why: &NoSocket) -> String {
    format!("serving without a control socket: {why}")
}

/// Checks or makes the control socket, on a thread that may wait. `None`: it cannot be where it is by default, which is told.
///
/// # Errors
/// It cannot be where it was asked for, or is another instance's.
async fn at_place<T: Send + 'static>(
    place: SocketPlace,
    act: fn(&Path) -> Result<T, NoSocket>,
) -> Result<Option<(SocketPlace, T)>, NoSocket> {
    let path = place.path.clone();
    let done = spawn_blocking(move || act(&path)).await;
    match done.expect("a panic has ended the process") {
        Ok(done) => Ok(Some((place, done))),
        Err(error) if place.is_default && error.is_of_the_place() => {
            tracing::warn!("{}", no_socket(&error));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

impl Ready {
    /// Opens, and serves to the end.
    async fn open(
        self,
        file: Option<&Path>,
        signals: CommandSignals,
        report_requests: ReportRequests,
    ) -> Result<()> {
        let Self { config, files, served, echo, cores, listeners, status, socket } = self;
        let control = Handle::current();
        // Services live as long as the instance does, its drain included.
        let left_over = cores.left_over().to_vec();
        let services = spawn_blocking(move || ServicesRuntime::start(left_over)).await?;
        let services = services.context("cannot start the thread of the services")?;
        let echo = echo.map(|listener| start_echo(services.handle(), listener)).transpose();
        let echo = echo.context("cannot start the built-in echo backend")?;
        let other_open_files = if echo.is_some() { echo_connections_max()? } else { 0 };
        let (snapshot, tls, revision) = (served.snapshot.clone(), served.setup(), served.revision);
        let parts = InstanceParts { cores, listeners, snapshot, tls, other_open_files };
        let (of_start, for_start) = (config.clone(), control.clone());
        let instance = spawn_blocking(move || Instance::start(&of_start, parts, &for_start)).await??;
        control.spawn(report_on_request(report_requests, instance.observed()));
        let status = status
            .map(|(listener, hosts)| {
                StatusPage::start(services.handle(), listener, hosts, instance.observed())
            })
            .transpose()
            .context("cannot serve the status page")?;
        // Last of all that can fail: a start that fails takes it from nobody.
        let claimed = match socket {
            Some(place) => at_place(place, ClaimedSocket::claim).await?,
            None => None,
        };
        let (socket, orders) = match claimed {
            Some((_, claimed)) => {
                let started = ControlSocket::start(&control, claimed);
                let (socket, orders) = started.context("cannot serve the control socket")?;
                (Some(socket), Some(orders))
            }
            None => (None, None),
        };
        announce(&instance, &config, status.as_ref(), file.is_none(), &served.snapshot);
        let publisher = files.map(|files| Publisher::start(files, served));
        let doors = Doors { signals, socket: orders };
        let ended = Serving::new(instance, config, revision, publisher).run(doors).await;
        if let Some(socket) = socket {
            socket.finish().await;
        }
        ended.map_err(anyhow::Error::msg)
    }
}

/// Puts the counters into the log whenever it is asked to, for ever.
async fn report_on_request(mut requests: ReportRequests, observed: Observed) {
    loop {
        requests.next().await;
        let observed = observed.clone();
        // With a thousand faults of a catalogue it takes a while.
        let _ = spawn_blocking(move || log::say(&log_lines(&observed))).await;
    }
}

fn start_echo(services: &Handle, listener: TcpListener) -> std::io::Result<EchoBackend> {
    EchoBackend::start(services, listener, echo_connections_max()? as usize)
}

/// The built-in backend takes one open file for each session, whose gateway takes two: it gets a third of what there is.
///
/// # Errors
/// The kernel's: the limit cannot be raised.
fn echo_connections_max() -> std::io::Result<u64> {
    Ok(raise_open_files()?.saturating_sub(open_files_reserve(1)) / 3)
}

/// Logs what is legal and useless.
fn warn(warnings: &[String]) {
    for warning in warnings {
        tracing::warn!("{warning}");
    }
}

/// One line for each API that is served: its suffix and its backend.
fn describe(snapshot: &Snapshot, is_built_in: bool) -> Vec<String> {
    snapshot
        .served()
        .iter()
        .map(|api| {
            let backend =
                if is_built_in { "the built-in echo server".to_owned() } else { api.backend.to_string() };
            format!("/{} → {} ({})", snapshot.path_of(api), backend, api.display_name)
        })
        .collect()
}

/// Prints what is open and how to try it.
fn announce(
    instance: &Instance,
    config: &InstanceConfig,
    status: Option<&StatusPage>,
    is_built_in: bool,
    snapshot: &Arc<Snapshot>,
) {
    let head = announced_head(instance, config, status);
    let address = instance.addresses().first().copied();
    let scheme = config.listeners.first().map(|listener| listener.scheme());
    let snapshot = Arc::clone(snapshot);
    // There may be ten thousand APIs.
    spawn_blocking(move || {
        let apis = describe(&snapshot, is_built_in);
        let url = address.zip(scheme).map(|(address, scheme)| format!("{scheme}://{address}"));
        log::print(&(head + &announced_apis(&apis, url.as_deref())));
    });
}

fn announced_head(instance: &Instance, config: &InstanceConfig, status: Option<&StatusPage>) -> String {
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
    text
}

fn announced_apis(apis: &[String], url: Option<&str>) -> String {
    let mut text: String = apis.iter().map(|line| format!("  {line}\n")).collect();
    match (apis.first(), url) {
        (Some(line), Some(url)) => {
            let url = format!("{url}{}", line.split(' ').next().unwrap_or("/"));
            text.push_str(&format!("try it: npx wscat -c {url}    or: python3 -m websockets {url}\n"));
        }
        (None, _) => text.push_str("  no API is published: put one into the catalogue's apis folder\n"),
        (Some(_), None) => {}
    }
    text
}
