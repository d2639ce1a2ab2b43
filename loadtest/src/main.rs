//! The `ringgate-loadtest` binary: parses arguments, dispatches.

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use ringgate_loadtest::backend::Backend;
use ringgate_loadtest::compare::{self, CompareArguments, awake};
use ringgate_loadtest::load::{self, Target, TlsTarget};
use ringgate_loadtest::machine::core_use::Core;
use ringgate_loadtest::plan::Plan;
use ringgate_loadtest::soak::{self, SoakArguments};
use ringgate_loadtest::tls::credentials::Credentials;
use std::net::SocketAddr;
use std::path::PathBuf;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Drives many WebSocket pairs through proxies and says how they stand beside each other.
#[derive(Debug, Parser)]
#[command(name = "ringgate-loadtest", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve as the backend: echo, sink, push or flood, as the path of each session asks
    Echo {
        /// Where to listen
        #[arg(long, default_value = "127.0.0.1:9001")]
        listen: SocketAddr,
        /// Speak TLS, with the credentials of this folder
        #[arg(long, value_name = "FOLDER")]
        tls: Option<PathBuf>,
    },
    /// Make credentials for TLS: an authority, a certificate of it for localhost, and its key
    Credentials {
        /// Where ca.pem, cert.pem, key.pem and both.pem go
        folder: PathBuf,
    },
    /// Relay bytes with no parsing and no rules: the least that a proxy can do
    Floor {
        /// Where to listen
        #[arg(long, default_value = "127.0.0.1:8110")]
        listen: SocketAddr,
        /// Where the backend listens
        #[arg(long, default_value = "127.0.0.1:9001")]
        backend: SocketAddr,
    },
    /// Run one plan against one target
    Run(RunArguments),
    /// Keep a core from halting (`compare` starts one for each core)
    #[command(hide = true)]
    Spin,
    /// Run plans through ringgate, the floor and other proxies in turn, and report how they stand
    Compare(CompareArguments),
    /// Put everything at once on a ringgate for long, and say whether it is as before at every rest
    Soak(SoakArguments),
}

#[derive(Debug, clap::Args)]
struct RunArguments {
    /// The plan's file
    plan: PathBuf,
    /// Where the proxy listens. Without it: a backend of this process's own, without a proxy
    #[arg(long)]
    target: Option<SocketAddr>,
    /// Where the proxy speaks TLS, for plans with tls [default: as --target]
    #[arg(long)]
    tls_target: Option<SocketAddr>,
    /// Folder of the credentials that it shows, as `credentials` makes them; plans with tls need it for a --target
    #[arg(long, value_name = "FOLDER")]
    tls: Option<PathBuf>,
    /// The target's name in the result
    #[arg(long, default_value = "target")]
    name: String,
    /// Same plan, same seed, same run
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The proxy's processes
    #[arg(long, value_delimiter = ',')]
    proxy_pids: Vec<u32>,
    /// The core that the proxy is pinned to
    #[arg(long)]
    proxy_core: Option<usize>,
    /// The process that keeps the proxy's core from halting: what it does not get is the core's busy time
    #[arg(long)]
    proxy_spinner: Option<u32>,
    /// The process that keeps the load's core from halting
    #[arg(long)]
    load_spinner: Option<u32>,
    /// The core that load and backend are pinned to
    #[arg(long)]
    load_core: Option<usize>,
    /// Write the result here
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Echo { listen, tls } => {
            let credentials = tls.as_deref().map(Credentials::read).transpose()?;
            let backend = Backend::listen_with(listen, credentials.as_ref())?;
            println!("listening on {}", backend.address()?);
            backend.serve()
        }
        Command::Credentials { folder } => Credentials::make()?.write(&folder),
        Command::Floor { listen, backend } => ringgate_loadtest::floor::run(listen, backend),
        Command::Run(arguments) => run(&arguments),
        Command::Spin => awake::spin(),
        Command::Compare(arguments) => compare::run(&arguments),
        Command::Soak(arguments) => soak::run(&arguments),
    }
}

fn run(arguments: &RunArguments) -> Result<()> {
    let plan = Plan::read(&arguments.plan)?;
    let plan_name = arguments.plan.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let (address, tls) = match arguments.target {
        Some(address) => {
            let credentials = arguments.tls.as_deref().map(Credentials::read).transpose()?;
            let tls_address = arguments.tls_target.unwrap_or(address);
            (address, credentials.map(|credentials| TlsTarget { address: tls_address, credentials }))
        }
        None => serve_here(plan.tls.is_some())?,
    };
    let target = Target {
        name: arguments.name.clone(),
        address,
        tls,
        pids: arguments.proxy_pids.clone(),
        core: arguments.proxy_core.map(|number| Core { number, spinner: arguments.proxy_spinner }),
        load_core: arguments.load_core.map(|number| Core { number, spinner: arguments.load_spinner }),
    };
    let result = if plan.verify {
        load::verify::run(&plan, &plan_name, &target, arguments.seed)?
    } else {
        load::run(&plan, &plan_name, &target, arguments.seed)?
    };
    let json = serde_json::to_string_pretty(&result)?;
    match &arguments.json {
        Some(file) => {
            std::fs::write(file, json).with_context(|| format!("cannot write {}", file.display()))?
        }
        None => println!("{json}"),
    }
    Ok(())
}

/// A backend of this process's own, and one with TLS where that is asked for.
fn serve_here(has_tls: bool) -> Result<(SocketAddr, Option<TlsTarget>)> {
    let serve = |credentials: Option<&Credentials>| {
        let backend = Backend::listen_with("127.0.0.1:0".parse()?, credentials)?;
        let address = backend.address()?;
        std::thread::spawn(move || backend.serve());
        anyhow::Ok(address)
    };
    let address = serve(None)?;
    if !has_tls {
        return Ok((address, None));
    }
    let credentials = Credentials::make()?;
    Ok((address, Some(TlsTarget { address: serve(Some(&credentials))?, credentials })))
}
