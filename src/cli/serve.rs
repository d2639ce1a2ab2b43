//! `ringgate serve`: runs an instance until it is told to stop.
//!
//! The main thread is the control thread. The slow parts of a start (files, addresses in use, a large catalogue) are awaited
//! without blocking it, so that signals are handled meanwhile.
//!
//! Not here: what an instance does while it serves (`control::serving`).

use super::exit;
use super::instance_file::{self, InstanceFile, InstanceFileOption, NamedBy};
use crate::compiled::Snapshot;
use crate::config::listener::plain_listeners;
use crate::config::{InstanceConfig, ListenerConfig, StatusConfig};
use crate::control::binding::{BoundListeners, bind_for_service, bind_when_free};
use crate::control::files::looker::{InstanceFiles, Served, Start};
use crate::control::files::store;
use crate::control::host::{HostFacts, HostLacks, HostNeeds, judge};
use crate::control::instance::{Instance, InstanceParts};
use crate::control::publisher::Publisher;
use crate::control::service_manager::ServiceManager;
use crate::control::serving::{Doors, Serving};
use crate::control::signals::{CommandSignals, ReportRequests};
use crate::control::socket::ControlSocket;
use crate::control::socket::place::{ClaimedSocket, NoSocket, SocketPlace};
use crate::limits::{CATALOG_UPKEEP, FILE_PATIENCE, PROGRESS_INTERVAL_MS, open_files_reserve};
use crate::process::cores::{CorePlan, usable_cores};
use crate::process::fatal::end_process_on_panic;
use crate::process::files::watchdog::Watchdog;
use crate::process::log;
use crate::process::open_files::raise_open_files;
use crate::services::demo_page::demo_page;
use crate::services::echo::EchoBackend;
use crate::services::runtime::ServicesRuntime;
use crate::services::status_page::StatusPage;
use crate::telemetry::Observed;
use crate::telemetry::otlp::{OPEN_FILES, Otlp};
use crate::telemetry::sinks::{SinkPlaces, start as start_sinks};
use crate::telemetry::text::log_lines;
use announcement::StatusAt;
use anyhow::{Context, Result, bail};
use core::fmt;
use rustls::pki_types::UnixTime;
use std::io::IsTerminal as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

mod announcement;

/// The files and listeners to serve.
#[derive(Debug, clap::Args)]
pub struct ServeArguments {
    #[command(flatten)]
    config: InstanceFileOption,
    /// Listen on this address, without TLS, instead of on the listeners of the instance file; may be given more than once
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address)]
    listen: Vec<SocketAddr>,
    /// Serve the demo: an echo API at /echo, and a page at / to try it with. Without an instance file, serve does the same
    #[arg(long, conflicts_with = "config")]
    demo: bool,
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "allowed is an address with its port, like 127.0.0.1:8080 or [::1]:8080".to_owned())
}

/// The source of an instance's configuration.
#[derive(Clone, Debug)]
enum Source {
    /// An instance file.
    File(InstanceFile),
    /// The demo.
    Demo {
        /// Whether it was asked for; otherwise there is no instance file.
        is_asked: bool,
    },
}

impl Source {
    /// The path of the instance file. `None`: there is none.
    fn path(&self) -> Option<&Path> {
        match self {
            Self::File(file) => Some(&file.path),
            Self::Demo { .. } => None,
        }
    }

    fn is_demo(&self) -> bool {
        matches!(self, Self::Demo { .. })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => write!(formatter, "instance file {file}"),
            Self::Demo { is_asked: true } => {
                formatter.write_str("no instance file: this is the demo (--demo)")
            }
            Self::Demo { is_asked: false } => write!(
                formatter,
                "no instance file: this is the demo (-c is not given, {} is not set, and the working folder has no {})",
                instance_file::VARIABLE,
                instance_file::FILE
            ),
        }
    }
}

impl ServeArguments {
    /// Runs the instance until it is told to stop.
    pub fn run(&self) -> ExitCode {
        let listeners = match plain_listeners(&self.listen) {
            Ok(listeners) => listeners,
            Err(why) => {
                log::say(&format!("ringgate: --listen: {why}"));
                return exit::USAGE.into();
            }
        };
        let source = match self.config.find() {
            Ok(file) if !self.demo => Source::File(file),
            Ok(_) | Err(_) => Source::Demo { is_asked: self.demo },
        };
        match serve(&source, listeners) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                log::say(&format!("ringgate: {}", told(&error)));
                if let Source::File(file) = &source
                    && file.by != NamedBy::Option
                {
                    log::say(&format!("the instance file is {file}"));
                }
                exit::FAILED.into()
            }
        }
    }
}

/// Formats an error with its causes, each text once: a cause that an error's own text contains is not repeated.
fn told(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |told, cause| match cause.to_string() {
        cause if told.is_empty() => cause,
        cause if told.contains(&cause) => told,
        cause => format!("{told}: {cause}"),
    })
}

fn serve(source: &Source, listeners: Vec<ListenerConfig>) -> Result<()> {
    end_process_on_panic();
    let control = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the control thread")?;
    let result = control.block_on(run_instance(source, listeners));
    // A look-up or a write that hangs on one of its blocking threads keeps nobody from ending.
    control.shutdown_background();
    result
}

/// Starts the instance of a configuration, and serves until it has ended. Runs on the control thread.
async fn run_instance(source: &Source, listeners: Vec<ListenerConfig>) -> Result<()> {
    let mut signals = CommandSignals::catch().context("cannot catch signals")?;
    let report_requests = ReportRequests::catch().context("cannot catch signals")?;
    let manager = ServiceManager::of_environment();
    let ready = tokio::select! {
        ready = make_ready(source.path(), listeners) => ready?,
        () = signals.stop_asked() => {
            tracing::info!("ended before it was open");
            return Ok(());
        }
    };
    // From here on signals are heard when it is open: that takes no time but that of the catalogue.
    ready.open(source, signals, report_requests, manager).await
}

/// Everything that an instance needs to open.
struct Ready {
    config: InstanceConfig,
    files: Option<InstanceFiles>,
    served: Arc<Served>,
    /// The listener of its own backend, if it has one.
    echo: Option<TcpListener>,
    cores: CorePlan,
    listeners: BoundListeners,
    /// Open files of what else is in the process.
    other_open_files: u64,
    /// The listener of the status page. `None`: another process has its address, or there is to be none.
    status: Option<TcpListener>,
    /// The path of its control socket, if no other instance serves there.
    socket: Option<SocketPlace>,
}

/// Reads the files, takes addresses, and checks whether the control socket is free. May take long, and may be dropped.
///
/// # Errors
/// The fault, or the resource that is not available.
async fn make_ready(file: Option<&Path>, listeners: Vec<ListenerConfig>) -> Result<Ready> {
    let (Start { config, files, served, warnings }, echo) = match file {
        Some(file) => (read_in_time(file.to_owned(), listeners).await?, None),
        None => {
            let echo = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
            let echo = echo.context("cannot start the built-in echo backend")?;
            let mut loaded = store::built_in(echo.local_addr()?);
            if !listeners.is_empty() {
                loaded.config.listeners = listeners;
            }
            (Start::built_in(loaded, UnixTime::now())?, Some(echo))
        }
    };
    let socket = match SocketPlace::of(file, config.control_socket.as_deref()) {
        Some(place) => at_place(place, ClaimedSocket::check).await?.map(|(place, ())| place),
        None => None,
    };
    let workers = config.workers.map(|workers| workers as usize);
    let cores = CorePlan::of(&usable_cores().context("cannot tell the cores of this process")?, workers);
    warn(&warnings);
    let of_echo = if echo.is_some() { echo_connections_max()? } else { 0 };
    let other_open_files = of_echo + if config.otlp.is_some() { OPEN_FILES } else { 0 };
    let needs = HostNeeds::of(&config, cores.of_workers().len(), other_open_files);
    let judgement = judge(spawn_blocking(HostFacts::of_this_process).await?, &needs);
    warn(&judgement.warnings);
    if !judgement.faults.is_empty() {
        return Err(HostLacks(judgement.faults).into());
    }
    let status = match &config.status {
        Some(status) => bind_for_service(status.address)?,
        None => None,
    };
    let listeners = BoundListeners::bind(&config, cores.of_workers().len()).await?;
    Ok(Ready { config, files, served, echo, cores, listeners, other_open_files, status, socket })
}

/// Reads all files of an instance, on a thread of its own, so that signals are handled meanwhile.
///
/// # Errors
/// The faults of the files, or a file that does not answer.
async fn read_in_time(file: PathBuf, listeners: Vec<ListenerConfig>) -> Result<Start> {
    let (sender, mut start) = oneshot::channel();
    let mut watchdog = Watchdog::default();
    let read = move || drop(sender.send(Start::read_listening(&file, listeners, UnixTime::now())));
    watchdog.spawn("files", read).context("cannot start a thread")?;
    let mut looks = tokio::time::interval(CATALOG_UPKEEP);
    loop {
        tokio::select! {
            start = &mut start => return Ok(start.context("the thread that reads the files ended without a result")??),
            _ = looks.tick() => if let Some(path) = watchdog.look(Instant::now()) {
                bail!("{} does not answer for {} s", path.display(), FILE_PATIENCE.as_secs());
            }
        }
    }
}

/// The message of an instance that serves without a control socket because the default path cannot be used.
pub fn no_socket(why: &NoSocket) -> String {
    format!("serving without a control socket: {why}")
}

/// Checks or makes the control socket, on a thread that may wait. `None`: the default path cannot be used, which is reported.
///
/// # Errors
/// The configured path cannot be used, or belongs to another instance.
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
    /// Opens the instance, and serves until it ends.
    async fn open(
        self,
        source: &Source,
        signals: CommandSignals,
        report_requests: ReportRequests,
        manager: Option<ServiceManager>,
    ) -> Result<()> {
        let Self { config, files, served, echo, cores, listeners, other_open_files, status, socket } = self;
        let control = Handle::current();
        // Services live as long as the instance does, its drain included.
        let left_over = cores.left_over().to_vec();
        let services = spawn_blocking(move || ServicesRuntime::start(left_over)).await?;
        let services = services.context("cannot start the thread of the services")?;
        let echo = echo.map(|listener| start_echo(services.handle(), listener)).transpose();
        // Serves until this ends.
        let _echo = echo.context("cannot start the built-in echo backend")?;
        let (snapshot, tls, revision) = (served.snapshot.clone(), served.setup(), served.revision);
        let root_page = source.is_demo().then(|| demo_page().into());
        let places = SinkPlaces::of(
            &config.logs,
            source.path().and_then(Path::parent),
            log::standard_output().0.is_terminal(),
        );
        let mut sinks =
            start_sinks(&config.logs, &places).context("cannot start a thread of the log's sinks")?;
        let mut otlp = start_otlp(&config, source.path(), &cores)?;
        if let Some(otlp) = &mut otlp {
            sinks.sinks.extend(otlp.take_sink());
            sinks.otlp = otlp.figures();
        }
        let parts = InstanceParts {
            cores,
            listeners,
            snapshot,
            tls,
            other_open_files,
            root_page,
            sinks,
            progress_interval_ms: PROGRESS_INTERVAL_MS,
        };
        let (of_start, for_start) = (config.clone(), control.clone());
        let instance = spawn_blocking(move || Instance::start(&of_start, parts, &for_start)).await??;
        if let Some(otlp) = &mut otlp {
            otlp.observe(instance.observed());
        }
        control.spawn(report_on_request(report_requests, instance.observed()));
        let status_at = match &config.status {
            Some(of_page) => Some(start_status(of_page, status, &services, &control, &instance)?),
            None => None,
        };
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
        announce(&instance, &config, source, status_at, &places, &served.snapshot);
        let publisher = files.map(|files| Publisher::start(files, served));
        let doors = Doors { signals, socket: orders };
        let ended = Serving::new(instance, config, revision, publisher, manager).run(doors).await;
        if let Some(otlp) = otlp {
            otlp.end().await;
        }
        if let Some(socket) = socket {
            socket.finish().await;
        }
        ended.map_err(anyhow::Error::msg)
    }
}

/// Starts the exporter, if the instance file asks for one.
///
/// # Errors
/// There is no thread.
fn start_otlp(config: &InstanceConfig, file: Option<&Path>, cores: &CorePlan) -> Result<Option<Otlp>> {
    let Some(otlp) = &config.otlp else { return Ok(None) };
    let folder = file.and_then(Path::parent).unwrap_or(Path::new(""));
    let gateway = config.gateway.as_ref().map(ToString::to_string).unwrap_or_default();
    let started = Otlp::start(otlp, folder, &gateway, cores.left_over().to_vec());
    started.context("cannot start the thread of the otlp exporter").map(Some)
}

/// Logs the counters on each request, for ever.
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

/// The built-in backend takes one open file for each session, the gateway two: the backend gets a third of the limit.
///
/// # Errors
/// The kernel's: the limit cannot be raised.
fn echo_connections_max() -> std::io::Result<u64> {
    Ok(raise_open_files()?.saturating_sub(open_files_reserve(1)) / 3)
}

/// Most warnings that a start logs. Those beyond are counted.
const WARNINGS_LOGGED_MAX: usize = 20;

/// Logs settings that are legal and useless: there may be one for each of ten thousand APIs.
fn warn(warnings: &[String]) {
    for warning in warnings.iter().take(WARNINGS_LOGGED_MAX) {
        tracing::warn!("{warning}");
    }
    if let more @ 1.. = warnings.len().saturating_sub(WARNINGS_LOGGED_MAX) {
        tracing::warn!(
            "{} more such warnings; `ringgate check` prints all of them",
            announcement::grouped(more)
        );
    }
}

/// Serves the status page to the end of the process: at once, or as soon as its address is free.
///
/// # Errors
/// The kernel's, when the listener cannot be taken over.
fn start_status(
    config: &StatusConfig,
    bound: Option<TcpListener>,
    services: &ServicesRuntime,
    control: &Handle,
    instance: &Instance,
) -> Result<StatusAt> {
    let (address, hosts, observed) = (config.address, config.hosts.clone(), instance.observed());
    let services = services.handle().clone();
    let start = move |listener| {
        let page = StatusPage::start(&services, listener, hosts, observed);
        page.context("cannot serve the status page")
    };
    let at = bound
        .as_ref()
        .map_or(Ok(StatusAt::Taken(address)), |bound| bound.local_addr().map(StatusAt::Served))?;
    let page = bound.map(|bound| (start.clone())(bound)).transpose()?;
    // The task holds the page for as long as the process lives, its drain included.
    control.spawn(async move {
        let served = match page {
            Some(page) => Ok(page),
            None => {
                tracing::warn!(
                    %address,
                    "the status page's address is in use, as by an instance that drains; it is tried again until it is free"
                );
                let page = start(bind_when_free(address).await);
                if page.is_ok() {
                    tracing::info!(%address, "the status page is served");
                }
                page
            }
        };
        match served {
            Ok(_page) => std::future::pending().await,
            Err(error) => tracing::error!(%address, "{}", told(&error)),
        }
    });
    Ok(at)
}

/// Prints what is open and how to try it.
fn announce(
    instance: &Instance,
    config: &InstanceConfig,
    source: &Source,
    status: Option<StatusAt>,
    places: &SinkPlaces,
    snapshot: &Arc<Snapshot>,
) {
    let mut head = announcement::head(instance, config, source, status);
    // The demo is to be tried, not to be looked back at.
    if !source.is_demo() {
        head.push_str(&places.describe(&config.logs));
    }
    if let Some(otlp) = &config.otlp {
        head.push_str(&format!("  {}\n", otlp.describe()));
    }
    let (addresses, is_demo) = (instance.addresses().to_vec(), source.is_demo());
    let (snapshot, config) = (Arc::clone(snapshot), config.clone());
    // There may be ten thousand APIs, none of which a listener serves.
    spawn_blocking(move || {
        let apis = announcement::apis(&snapshot, &config, &addresses, is_demo);
        log::print(&(head + &apis));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::instance::StartError;
    use std::io;

    #[test]
    fn no_cause_of_a_failed_start_is_told_twice() {
        let address = SocketAddr::from(([127, 0, 0, 1], 80));
        let in_use = || io::Error::from_raw_os_error(libc::EADDRINUSE);
        for error in [
            anyhow::Error::from(StartError::listen(address, in_use())),
            StartError::Host(in_use()).into(),
            anyhow::Error::from(in_use()).context("cannot catch signals"),
            anyhow::Error::from(StartError::Host(in_use())).context("cannot serve the status page"),
        ] {
            let told = told(&error);
            let cause = "ddress already in use";
            assert_eq!(told.matches(cause).count(), 1, "{told}");
        }
    }
}
