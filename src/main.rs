//! The edge of the process: reads the config, starts, waits for the signal, and
//! turns what happened into an exit code. Nothing below reads the environment
//! or hears signals.

mod log;
mod memory;

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::process::{ExitCode, exit};
use std::sync::Arc;
use std::thread::available_parallelism;

use clap::Parser;
use headcount::config::{Command, Config};
use headcount::server::{self, Server, Settings, Tls};
use headcount::{Options, Rooms, Script, embed, router};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

fn main() -> ExitCode {
    let config = Config::parse();
    if let Some(Command::Embed { origin, room }) = &config.command {
        print!("{}", embed::lines(origin, room.as_ref(), &Script::embedded()));
        eprintln!("headcount: these lines are for this version; print them anew after an upgrade");
        return ExitCode::SUCCESS;
    }
    match run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("headcount: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Runs until the first signal and the drain that follows it.
fn run(config: Config) -> Result<(), String> {
    let _flushed_last = log::start(config.log_format)?;
    memory::give_back_soon();
    // The first of the server's threads, each of which has a runtime of its own.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the runtime: {error}"))?;
    runtime.block_on(serve(config))
}

async fn serve(config: Config) -> Result<(), String> {
    let drain = CancellationToken::new();
    let tls = tls(&config)?;
    stop_on_signals(drain.clone(), tls.is_none())
        .map_err(|error| format!("cannot hear signals: {error}"))?;
    let descriptors = server::raise_descriptors()
        .map_err(|error| format!("cannot learn how many files may be open: {error}"))?;
    let max_streams = config.max_streams.unwrap_or(descriptors.streams());
    if max_streams > descriptors.streams() {
        warn!(
            max_streams,
            fit = descriptors.streams(),
            "more streams are allowed than file descriptors; raise `ulimit -n`"
        );
    }

    let settings = Settings {
        threads: config.threads.unwrap_or_else(cores),
        keep_alive: config.keep_alive,
        user_timeout: config.user_timeout,
        shutdown_grace: config.shutdown_grace,
        tls: tls.clone(),
    };
    let server = Server::start(config.listen, settings)
        .map_err(|error| cannot_listen(config.listen, &error))?;
    let address = server
        .address()
        .map_err(|error| format!("the listening socket has no address: {error}"))?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    info!(max_streams, file_descriptors = descriptors.0, "listening on {scheme}://{address}");

    let options = Options {
        keep_alive: config.keep_alive,
        max_age: config.max_age,
        max_streams,
        max_streams_per_ip: config.max_streams_per_ip,
        trusted_proxies: config.trusted_proxy,
        allow_origins: config.allow_origin,
        public_dir: config.public_dir,
        drain: drain.clone(),
        // What is left of the grace is for those who are slow to take their last.
        drain_spread: config.shutdown_grace.mul_f64(0.8),
    };
    server.serve(router(Rooms::new(config.max_rooms), options), drain).await;
    info!("stopped");
    Ok(())
}

/// Reads the certificate, if there is to be one, and reads it again on SIGHUP.
fn tls(config: &Config) -> Result<Option<Arc<Tls>>, String> {
    let (Some(certificate), Some(key)) = (&config.tls_cert, &config.tls_key) else {
        return Ok(None);
    };
    let tls = Arc::new(Tls::read(certificate, key).map_err(|error| error.to_string())?);
    let mut hangup =
        signal(SignalKind::hangup()).map_err(|error| format!("cannot hear signals: {error}"))?;
    let renewed = tls.clone();
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            match renewed.read_again() {
                Ok(()) => info!("the certificate was read again"),
                Err(error) => error!(%error, "the certificate stays as it was"),
            }
        }
    });
    Ok(Some(tls))
}

/// How many cores this process may use, as far as can be known.
fn cores() -> NonZeroUsize {
    available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

fn cannot_listen(address: SocketAddr, error: &io::Error) -> String {
    let why = match error.kind() {
        io::ErrorKind::AddrInUse => "another program listens there".into(),
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address".into(),
        io::ErrorKind::PermissionDenied => "ports below 1024 need a permission".into(),
        _ => error.to_string(),
    };
    format!("cannot listen on {address}: {why}; choose another address with --listen")
}

/// Starts the drain at the first SIGTERM or SIGINT; the second ends the process
/// at once, with the exit code that a shell gives to one killed by it. SIGHUP is
/// one of them unless it has another meaning.
fn stop_on_signals(drain: CancellationToken, hangup_stops: bool) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = if hangup_stops { Some(signal(SignalKind::hangup())?) } else { None };
    let mut next = async move || {
        let hung_up = async {
            match &mut hangup {
                Some(hangup) => hangup.recv().await,
                None => pending().await,
            }
        };
        tokio::select! {
            _ = terminate.recv() => SignalKind::terminate(),
            _ = interrupt.recv() => SignalKind::interrupt(),
            _ = hung_up => SignalKind::hangup(),
        }
    };
    tokio::spawn(async move {
        next().await;
        drain.cancel();
        exit(128 + next().await.as_raw_value());
    });
    Ok(())
}
