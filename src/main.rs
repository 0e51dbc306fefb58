//! The edge of the process: reads the config, starts, waits for the signal, and turns the
//! outcome into an exit code. Nothing below reads the environment or handles signals.

mod activation;
mod failure;
mod health;
mod log;
mod memory;
mod signals;
mod supervisor;

use std::fs;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use failure::Failure;
use headcount::admin::{Admin, AdminAddress, AdminToken};
use headcount::config::{Command, Config};
use headcount::embed::Address;
use headcount::server::{self, Server, Settings, StartError, Tls};
use headcount::{
    History, HistoryError, Name, Node, Options, Redis, Rooms, Routes, Script, SeatsError,
    SeatsFile, embed,
};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

fn main() -> ExitCode {
    let config = Config::read();
    exit_code(match &config.command {
        Some(Command::Embed { origin, room, page }) => {
            print_lines(origin, room.as_ref(), page.as_ref()).map_err(Failure::System)
        }
        // Whatever is wrong, the server is not healthy: 1, not 2.
        Some(Command::Health) => match admin_token(&config) {
            Ok(token) => health::ask(&config, token.as_ref()).map_err(Failure::System),
            Err(failure) => Err(Failure::System(failure.message().into())),
        },
        None => run(config),
    })
}

/// Prints the lines to paste into a site's pages; for a given page, also what else shows its
/// room.
fn print_lines(origin: &Address, room: Option<&Name>, page: Option<&Name>) -> Result<(), String> {
    let named = page.map(|_| "page").or(room.map(Name::as_str));
    print(&embed::lines(origin, named, &Script::embedded()))?;
    if let Some(name) = page {
        let [badge, stream] = embed::elsewhere(origin, name);
        complain(&format!("the room of that page is {name:?}", name = name.as_str()));
        complain(&format!("as a picture: ![reading this now]({badge})"));
        complain(&format!("in a terminal: curl -N '{stream}'"));
    }
    Ok(())
}

fn exit_code(outcome: Result<(), Failure>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain(failure.message());
            failure.exit_code()
        }
    }
}

/// Prints a message to standard error, if anybody reads that.
fn complain(message: &str) {
    let _nobody_listens = writeln!(io::stderr(), "headcount: {message}");
}

/// Prints the lines to paste. A closed pipe is no error: its reader, such as `head`, has what
/// it wanted.
fn print(lines: &str) -> Result<(), String> {
    let mut out = io::stdout();
    match out.write_all(lines.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => {
            complain("these lines are for this version; print them anew after an upgrade");
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(format!("cannot print the lines: {error}")),
    }
}

/// Runs until the first signal and the drain that follows it.
fn run(config: Config) -> Result<(), Failure> {
    // This must come before there is another thread.
    let listener = activation::listener(config.listen).map_err(Failure::Settings)?;
    let _flushed_last = log::start(config.log_format)?;
    warn_of_unknown_variables();
    memory::give_back_soon();
    // This is the first of the server's threads, each of which has a runtime of its own.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the runtime: {error}"))?;
    let outcome = runtime.block_on(serve(config, listener));
    // Dropping the runtime would wait for tasks that still block.
    runtime.shutdown_background();
    outcome
}

fn warn_of_unknown_variables() {
    // A name that is not UTF-8 is none of ours.
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for name in Config::unknown_among(names) {
        warn!("the environment variable {} matches no option; see --help", name.escape_debug());
    }
}

async fn serve(config: Config, listener: Option<TcpListener>) -> Result<(), Failure> {
    let drain = CancellationToken::new();
    // A supervisor that sends SIGHUP does not mean a stop.
    let reloads = config.tls_cert.is_some() || supervisor::listens();
    let reload = reloads.then(Arc::<Notify>::default);
    signals::hear(drain.clone(), reload.clone())
        .map_err(|error| format!("cannot hear signals: {error}"))?;
    // Reading a pipe that nobody writes to never ends.
    let Some(tls) = drain.run_until_cancelled(tls(&config)).await.transpose()? else {
        return Ok(());
    };
    let Some((redis, token)) = drain.run_until_cancelled(secrets(&config)).await.transpose()?
    else {
        return Ok(());
    };
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

    if config.seats.is_some() && config.seats == config.history {
        return Err(Failure::Settings("--seats and --history must be different files".into()));
    }
    // Opened before listening, because two processes can't have the same seats.
    let seats = config.seats.as_deref().map_or(Ok(None), open_seats)?;
    let admin = admin(&config, token)?;
    let (rooms, history) = rooms(&config)?;
    let threads = config.threads.unwrap_or_else(cores);
    let settings = Settings {
        threads,
        shutdown_grace: config.shutdown_grace,
        max_connections: config.max_connections.unwrap_or(descriptors.connections()),
        max_connections_per_ip: config.max_connections_per_ip,
        tls: tls.clone(),
    };
    let listen = config.listen();
    let server = match listener {
        Some(listener) => Server::inherit(listener, settings),
        None => Server::start(listen, settings),
    };
    let server = server.map_err(|error| match error {
        StartError::Listen(error) => cannot_listen(listen, &error),
        StartError::Threads(error) => {
            format!("cannot start {threads} threads: {error}; lower --threads")
        }
    })?;
    let address = server
        .address()
        .map_err(|error| format!("the listening socket has no address: {error}"))?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    info!(max_streams, file_descriptors = descriptors.0, "listening on {scheme}://{address}");

    let max_rooms_per_ip = Some(config.max_rooms_per_ip());
    let name = config.node.unwrap_or_else(host_name);
    let node = redis.map(|redis| Node::start(redis, name, config.settle, &rooms)).transpose();
    let node = node.map_err(|error| format!("cannot start the thread of the node: {error}"))?;
    let options = Options {
        keep_alive: config.keep_alive,
        user_timeout: config.user_timeout,
        stall_timeout: config.stall_timeout.unwrap_or(config.user_timeout),
        max_age: config.max_age,
        max_streams,
        max_streams_per_ip: config.max_streams_per_ip,
        max_rooms_per_ip,
        trusted_proxies: config.trusted_proxy,
        allow_origins: config.allow_origin,
        allow_rooms: config.rooms,
        public_dir: config.public_dir,
        // If there is an operator's listener, only that serves them.
        metrics: admin.is_none(),
        seats,
        node,
        history: history.clone(),
        private_history: config.private_history,
        crowded: Some(server.crowded()),
        drain,
        // The rest of the grace is for clients that are slow to read their last bytes.
        drain_spread: config.shutdown_grace.mul_f64(0.8),
    };
    // A node learns from the others who was here, and settles by itself if there are none.
    if options.node.is_none() && !options.seats.as_ref().is_some_and(SeatsFile::is_whole) {
        settle(&rooms, options.seats.clone(), config.settle);
    }
    if let Some(node) = &options.node {
        node.meet().await;
    }
    let Routes { visitors, operator, overview } = Routes::new(rooms, options.clone());
    if let Some(history) = history.clone() {
        let drain = options.drain.clone();
        tokio::spawn(async move {
            drain.cancelled().await;
            history.end();
        });
    }
    let answering = admin.map(|admin| admin.serve(operator, overview)).transpose();
    let answering =
        answering.map_err(|error| format!("cannot start the operator's thread: {error}"))?;
    // These tasks run once this thread serves.
    if let Some(reload) = reload {
        tokio::spawn(read_again(tls, reload));
    }
    let told = tokio::spawn(supervisor::keep_told(server.pulse(), options.drain.clone()));
    server.serve(visitors, options).await;
    let _told_or_deaf = timeout(supervisor::PATIENCE, told).await;
    // The operator has been answered until now. Dropping this also releases the rooms, whose
    // last lines must be in the log before the next one.
    drop(answering);
    if let Some(history) = history {
        history.stop();
    }
    info!("stopped");
    Ok(())
}

/// Reads the certificate, if one is configured.
async fn tls(config: &Config) -> Result<Option<Arc<Tls>>, String> {
    let (Some(certificate), Some(key)) = (config.tls_cert.clone(), config.tls_key.clone()) else {
        return Ok(None);
    };
    let tls = spawn_blocking(move || Tls::read(&certificate, &key))
        .await
        .map_err(|error| error.to_string())?
        .map_err(|error| error.to_string())?;
    Ok(Some(Arc::new(tls)))
}

/// Reads the certificate again at each `reload`; if there is none, logs that.
async fn read_again(tls: Option<Arc<Tls>>, reload: Arc<Notify>) {
    loop {
        reload.notified().await;
        supervisor::tell_reloading().await;
        let tls = tls.clone();
        let read = spawn_blocking(move || match tls.map(|tls| tls.read_again()) {
            Some(Ok(())) => info!("the certificate was read again"),
            Some(Err(error)) => error!(%error, "the certificate stays as it was"),
            None => info!("there is no certificate to read again; other settings need a restart"),
        });
        let _panicked = read.await;
        supervisor::tell_reloaded().await;
    }
}

/// Opens the seats file. The server counts without one, too, unless another process uses it.
fn open_seats(path: &Path) -> Result<Option<SeatsFile>, String> {
    match SeatsFile::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error @ SeatsError::InUse) => {
            Err(format!("cannot use the seats file {}: {error}", path.display()))
        }
        Err(error) => {
            warn!(file = %path.display(), "no seats are kept for the next process: {error}");
            Ok(None)
        }
    }
}

/// The rooms, and their history if one is kept.
fn rooms(config: &Config) -> Result<(Rooms, Option<History>), Failure> {
    // The operator's pages show the last minutes, so they need a history, too.
    if config.history.is_none() && config.admin_listen.is_none() {
        return Ok((Rooms::new(config.max_rooms), None));
    }
    let rooms = Rooms::measured(config.max_rooms);
    let file = config.history.clone();
    let history = History::start(&rooms, file, config.history_max_rooms);
    let history = history.map_err(|error| match (&error, &config.history) {
        (HistoryError::Thread(_), _) | (_, None) => {
            Failure::System(format!("cannot keep a history: {error}"))
        }
        (_, Some(file)) => {
            let message = format!("cannot use the history file {}: {error}", file.display());
            match error {
                HistoryError::InUse => Failure::System(message),
                _ => Failure::Settings(message),
            }
        }
    })?;
    Ok((rooms, Some(history)))
}

/// The operator's listener, if one is configured.
fn admin(config: &Config, token: Option<AdminToken>) -> Result<Option<Admin>, Failure> {
    let Some(address) = &config.admin_listen else { return Ok(None) };
    if token.is_none() && !address.is_local() {
        return Err(Failure::Settings(format!(
            "other machines can reach {address}: there, --admin-listen requires \
             --admin-token or --admin-token-file"
        )));
    }
    let admin = Admin::bind(address, token).map_err(|error| {
        let why = match address {
            AdminAddress::Tcp(_) => why_not(&error),
            AdminAddress::Unix(_) => error.to_string(),
        };
        format!("cannot listen on {address}: {why}; choose another address with --admin-listen")
    })?;
    info!("listening for the operator on {}", admin.address());
    Ok(Some(admin))
}

/// The Redis that all nodes share and the operator's token, if they are configured. Their
/// secrets may be in files.
async fn secrets(config: &Config) -> Result<(Option<Redis>, Option<AdminToken>), Failure> {
    let config = config.clone();
    let read = spawn_blocking(move || Ok((redis(&config)?, admin_token(&config)?)));
    read.await.map_err(|error| error.to_string())?
}

/// The operator's token, if one is configured.
fn admin_token(config: &Config) -> Result<Option<AdminToken>, Failure> {
    let Some(path) = &config.admin_token_file else { return Ok(config.admin_token.clone()) };
    let file = path.display();
    let text = fs::read_to_string(path).map_err(|error| format!("cannot read {file}: {error}"))?;
    match text.trim().parse() {
        Ok(token) => Ok(Some(token)),
        Err(bad) => Err(Failure::Settings(format!("the token in {file} can't be used: {bad}"))),
    }
}

/// The Redis that all nodes share, if one is configured.
fn redis(config: &Config) -> Result<Option<Redis>, Failure> {
    if config.redis.is_empty() {
        return Ok(None);
    }
    let read = |path: &Path| {
        fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
    };
    let mut redis = Redis::new(&config.redis, &config.redis_prefix)
        .map_err(|error| Failure::Settings(format!("cannot use --redis: {error}")))?;
    if let Some(path) = &config.redis_ca {
        redis = redis.with_ca(read(path)?);
    }
    if let Some(path) = &config.redis_password_file {
        let password = String::from_utf8(read(path)?)
            .map_err(|_| format!("the password in {} is not text", path.display()))?;
        redis = redis.with_password(config.redis_user.as_deref(), password.trim_end());
    }
    Ok(Some(redis))
}

fn host_name() -> String {
    let name = nix::unistd::gethostname().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// Makes the numbers partial for as long as clients of the last process may be on their way
/// back.
fn settle(rooms: &Rooms, seats: Option<SeatsFile>, time: Duration) {
    // If there is no such time, the numbers are not partial for even an instant.
    let doubt = (!time.is_zero()).then(|| rooms.doubt());
    tokio::spawn(async move {
        sleep(time).await;
        drop(doubt);
        if let Some(seats) = seats {
            seats.settle();
        }
    });
}

/// How many cores this process may use, as far as the system says.
fn cores() -> NonZeroUsize {
    available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

fn cannot_listen(address: SocketAddr, error: &io::Error) -> String {
    let why = why_not(error);
    format!("cannot listen on {address}: {why}; choose another address with --listen")
}

fn why_not(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another program listens there".into(),
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address".into(),
        io::ErrorKind::PermissionDenied => "ports below 1024 need a permission".into(),
        _ => error.to_string(),
    }
}
