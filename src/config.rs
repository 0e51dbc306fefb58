//! Every setting: its default, its unit, and why that default.

use std::ffi::{OsStr, OsString};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::Resettable;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use ipnet::IpNet;
use url::Url;

use crate::admin::{AdminAddress, AdminToken, BadToken};
use crate::embed::Address;
use crate::name::Name;
use crate::origin::AllowedOrigin;
use crate::page;
use crate::pattern::RoomPattern;
use crate::rooms;

/// How many people are here, right now: a live user counter over Server-Sent
/// Events.
///
/// Open the address in a browser, or watch the count with
/// `curl -N http://127.0.0.1:3000/events`.
#[derive(Clone, Debug, Parser)]
#[command(version, max_term_width = 90, after_help = AFTER_HELP,
          disable_help_subcommand = true)]
pub struct Config {
    /// What to do in place of serving.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// The address to listen on, as IP:PORT; port 0: any [default: 127.0.0.1:3000]
    ///
    /// Loopback by default: letting others in should be a decision (0.0.0.0:3000
    /// or `[::]:3000`), or a proxy's business. With socket activation, the socket unit has
    /// the address, and this option should not be given.
    #[arg(long, env = "HEADCOUNT_LISTEN", value_name = "IP:PORT", value_parser = listen)]
    pub listen: Option<SocketAddr>,

    /// Answer the operator here, and /metrics here alone: IP:PORT or unix:/PATH [default: off]
    ///
    /// /metrics, /healthz and /readyz, over plain HTTP. Beyond loopback and Unix sockets a
    /// token is needed.
    #[arg(long, env = "HEADCOUNT_ADMIN_LISTEN", value_name = "ADDRESS",
          value_parser = admin_listen)]
    pub admin_listen: Option<AdminAddress>,

    /// What the operator shows as `Authorization: Bearer TOKEN`: 16 or more characters
    ///
    /// Other users of the machine see it in the list of processes; with --admin-token-file they
    /// don't.
    #[arg(long, env = "HEADCOUNT_ADMIN_TOKEN", value_name = "TOKEN", value_parser = admin_token,
          hide_env_values = true, requires = "admin_listen",
          conflicts_with = "admin_token_file")]
    pub admin_token: Option<AdminToken>,

    /// A file with that token
    #[arg(
        long,
        env = "HEADCOUNT_ADMIN_TOKEN_FILE",
        value_name = "FILE",
        requires = "admin_listen"
    )]
    pub admin_token_file: Option<PathBuf>,

    /// No stream is silent for longer than this: it is told the count again (0.1s to 1h)
    ///
    /// This heartbeat shows both sides whether the other is still there. Proxies
    /// cut a stream that is silent for 30 to 60 s, so the default is half of that.
    #[arg(long, env = "HEADCOUNT_KEEP_ALIVE", value_name = "DURATION",
          value_parser = keep_alive, default_value = "15s")]
    pub keep_alive: Duration,

    /// How long a client's system may leave sent data unanswered (1s to 1h)
    ///
    /// A peer that vanished without a word is uncounted within keep-alive +
    /// user-timeout. 20 s outlast a short loss of signal. (Its name is that of RFC 5482.)
    #[arg(long, env = "HEADCOUNT_USER_TIMEOUT", value_name = "DURATION",
          value_parser = user_timeout, default_value = "20s")]
    pub user_timeout: Duration,

    /// How long a client may take nothing of what waits for it (1s to 1h) [default:
    /// --user-timeout]
    ///
    /// Something waits for a client that has stopped reading once its own system has no
    /// room left. How much that takes is the client's to say; --max-age holds for all.
    #[arg(long, env = "HEADCOUNT_STALL_TIMEOUT", value_name = "DURATION",
          value_parser = user_timeout)]
    pub stall_timeout: Option<Duration>,

    /// How long a stop waits for clients that don't take their last bytes (up to 1h)
    ///
    /// All others are ended at once. 10 s is less than systemd (90 s) or Kubernetes (30 s)
    /// wait before they kill.
    #[arg(long, env = "HEADCOUNT_SHUTDOWN_GRACE", value_name = "DURATION",
          value_parser = shutdown_grace, default_value = "10s")]
    pub shutdown_grace: Duration,

    /// End a stream that is so old, and keep its seat for 10 s (1s to 30days; default: never)
    ///
    /// A client that reads comes back at once, and no number changes; one that never
    /// reads is gone for good. A fifth of the age is left to chance.
    #[arg(long, env = "HEADCOUNT_MAX_AGE", value_name = "DURATION", value_parser = max_age)]
    pub max_age: Option<Duration>,

    /// Keep who sits where in this file, so that a restart or a crash moves no number
    ///
    /// The next process that is started with it within a minute counts those who were
    /// here, and gives them 10 s to come back. It need not outlive the system, so have it
    /// in memory (/run, /dev/shm): there no disk can slow a join. 32 bytes for each seat.
    #[arg(long, env = "HEADCOUNT_SEATS", value_name = "FILE")]
    pub seats: Option<PathBuf>,

    /// Count together with the other nodes that use this Redis; repeatable for a Redis Cluster
    ///
    /// redis://HOST:PORT, or rediss:// over TLS, perhaps with USER:PASSWORD@ before the host.
    /// In the variable, separated by commas. Redis 6.2 or newer, or Valkey: docs/cluster.md.
    #[arg(
        long,
        env = "HEADCOUNT_REDIS",
        value_name = "URL",
        value_delimiter = ',',
        hide_env_values = true,
        conflicts_with = "seats"
    )]
    pub redis: Vec<String>,

    /// What all keys in Redis begin with; counters with different ones don't meet
    #[arg(
        long,
        env = "HEADCOUNT_REDIS_PREFIX",
        value_name = "NAME",
        default_value = "headcount",
        requires = "redis"
    )]
    pub redis_prefix: String,

    /// The certificates (PEM) of who signs for Redis, in place of the system's
    #[arg(long, env = "HEADCOUNT_REDIS_CA", value_name = "FILE", requires = "redis")]
    pub redis_ca: Option<PathBuf>,

    /// The user that Redis knows us by, where the URL has none
    #[arg(
        long,
        env = "HEADCOUNT_REDIS_USER",
        value_name = "NAME",
        requires = "redis_password_file"
    )]
    pub redis_user: Option<String>,

    /// A file with the password for Redis, where the URL has none
    #[arg(long, env = "HEADCOUNT_REDIS_PASSWORD_FILE", value_name = "FILE", requires = "redis")]
    pub redis_password_file: Option<PathBuf>,

    /// What people call this node, in the log and in /metrics [default: the host's name]
    #[arg(long, env = "HEADCOUNT_NODE", value_name = "NAME")]
    pub node: Option<String>,

    /// For so long after a start the numbers are partial, unless it is known who was here (up to 1h)
    ///
    /// Clients of the process before may be on their way back, which takes them 2 to 5 s.
    /// A file of seats knows them, and so does another node.
    #[arg(long, env = "HEADCOUNT_SETTLE", value_name = "DURATION", value_parser = settle,
          default_value = "6s")]
    pub settle: Duration,

    /// How many streams may be open; one more is refused with 503
    ///
    /// Each takes a file descriptor. Default: as many as the process may have
    /// (RLIMIT_NOFILE, raised as far as the system allows), less a reserve.
    #[arg(long, env = "HEADCOUNT_MAX_STREAMS", value_name = "NUMBER", value_parser = at_least_1)]
    pub max_streams: Option<usize>,

    /// How many streams one address may have; one more is refused with 429 (default: any)
    ///
    /// Whole offices and mobile networks share one address. With IPv6 one client has a
    /// whole /64 of them, which counts as one.
    #[arg(long, env = "HEADCOUNT_MAX_STREAMS_PER_IP", value_name = "NUMBER",
          value_parser = at_least_1)]
    pub max_streams_per_ip: Option<usize>,

    /// How many connections may be open; for one more the longest idle is closed
    ///
    /// Those that have a stream stay; if all have one, the newest is closed. Default: as
    /// many as the process may have file descriptors, less a reserve.
    #[arg(long, env = "HEADCOUNT_MAX_CONNECTIONS", value_name = "NUMBER",
          value_parser = at_least_1)]
    pub max_connections: Option<usize>,

    /// The same for the connections of one address (default: any)
    ///
    /// A trusted proxy has no such limit.
    #[arg(long, env = "HEADCOUNT_MAX_CONNECTIONS_PER_IP", value_name = "NUMBER",
          value_parser = at_least_1)]
    pub max_connections_per_ip: Option<usize>,

    /// How many rooms there may be; a stream for one more is refused with 503
    ///
    /// Anyone who can reach the server can open rooms; each costs some 2 kB. The room
    /// `lobby` can always be joined.
    #[arg(long, env = "HEADCOUNT_MAX_ROOMS", value_name = "NUMBER", value_parser = at_least_1,
          default_value_t = rooms::MAX_ROOMS)]
    pub max_rooms: usize,

    /// How many rooms one address may be in; a stream for one more is refused with 429
    ///
    /// Nobody shall take all rooms. `lobby` is not one of them. Default: a tenth of
    /// --max-rooms; of fewer than 1,000 rooms 100, but no more than half of them; of
    /// fewer than 10 any.
    #[arg(long, env = "HEADCOUNT_MAX_ROOMS_PER_IP", value_name = "NUMBER",
          value_parser = at_least_1)]
    pub max_rooms_per_ip: Option<usize>,

    /// How many threads serve streams (default: one for each core)
    #[arg(long, env = "HEADCOUNT_THREADS", value_name = "NUMBER", value_parser = threads)]
    pub threads: Option<NonZeroUsize>,

    /// A proxy whose X-Forwarded-For is believed, as an address or CIDR; repeatable
    ///
    /// In the variable, separated by commas. Without one, a client's address is that
    /// of its connection, whatever it says.
    #[arg(long, env = "HEADCOUNT_TRUSTED_PROXY", value_name = "CIDR",
          value_parser = trusted_proxy, value_delimiter = ',')]
    pub trusted_proxy: Vec<IpNet>,

    /// An origin whose pages may count here, beside the server's own; repeatable
    ///
    /// `https://example.org`, `https://*.example.org` for every name below it, or `*` for any.
    /// In the variable, separated by commas. A page of another origin is refused with
    /// 403; curl and its like, which name none, are not.
    #[arg(long, env = "HEADCOUNT_ALLOW_ORIGIN", value_name = "ORIGIN",
          value_parser = allow_origin, value_delimiter = ',')]
    pub allow_origin: Vec<AllowedOrigin>,

    /// Only these rooms may be joined and asked for; repeatable (default: any)
    ///
    /// A name in which `*` stands for any characters or none, and `?` for one: `/blog/*`. In
    /// the variable, separated by commas. A request for another room is refused with 403.
    /// `lobby` is one like any other here.
    #[arg(long, env = "HEADCOUNT_ROOMS", value_name = "PATTERN", value_parser = room_pattern,
          value_delimiter = ',')]
    pub rooms: Vec<RoomPattern>,

    /// Speak TLS with this certificate chain, a PEM file; read again on SIGHUP
    ///
    /// (Without TLS, SIGHUP stops the server as SIGTERM does, unless a supervisor such as
    /// systemd sets NOTIFY_SOCKET: then nothing happens.)
    #[arg(long, env = "HEADCOUNT_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// The private key of the certificate, a PEM file; read again on SIGHUP
    #[arg(long, env = "HEADCOUNT_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// Serve the page from this directory, in place of the page inside the binary
    ///
    /// For work on the page: files are read anew for each request. Only regular files
    /// inside of it are served, and none whose name begins with a dot.
    #[arg(long, env = "HEADCOUNT_PUBLIC_DIR", value_name = "DIR", value_parser = public_dir)]
    pub public_dir: Option<PathBuf>,

    /// The form of the log, which goes to standard error
    #[arg(long, env = "HEADCOUNT_LOG_FORMAT", value_name = "FORMAT", value_enum,
          default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

impl Config {
    /// Reads the arguments and the environment. What is wrong with them, or `--help`, is
    /// printed, and ends the process.
    #[must_use]
    pub fn read() -> Self {
        let matches = Self::command_of(|variable| std::env::var_os(variable)).get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }

    /// The command as it is where the variables have these values. One that is empty is not
    /// given: compose files and unit files have no other way to leave one out.
    fn command_of(value: impl Fn(&OsStr) -> Option<OsString>) -> clap::Command {
        Self::command().mut_args(|arg| {
            let is_empty = arg.get_env().and_then(&value).is_some_and(|value| value.is_empty());
            if is_empty { arg.env(Resettable::Reset) } else { arg }
        })
    }

    /// Those of the variables that look like an option's and are none: a mistyped name
    /// would otherwise be passed over in silence.
    pub fn unknown_among(variables: impl IntoIterator<Item = String>) -> Vec<String> {
        let command = Self::command();
        let known: Vec<_> = command.get_arguments().filter_map(|arg| arg.get_env()).collect();
        let is_unknown = |name: &String| {
            name.starts_with("HEADCOUNT_") && !known.contains(&OsStr::new(name)) && !is_link(name)
        };
        let mut unknown: Vec<_> = variables.into_iter().filter(is_unknown).collect();
        unknown.sort();
        unknown
    }

    /// The address to listen on.
    #[must_use]
    pub fn listen(&self) -> SocketAddr {
        self.listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 3000)))
    }

    /// How many rooms one address may be in.
    #[must_use]
    pub fn max_rooms_per_ip(&self) -> usize {
        let default = match self.max_rooms {
            few @ ..10 => few + 1,
            many => (many / 10).max((many / 2).min(100)),
        };
        self.max_rooms_per_ip.unwrap_or(default)
    }
}

/// Whether a variable is one that Kubernetes sets in every pod beside a service named
/// `headcount`, such as `HEADCOUNT_SERVICE_HOST` and `HEADCOUNT_PORT_3000_TCP_ADDR`.
fn is_link(variable: &str) -> bool {
    ["HEADCOUNT_SERVICE_HOST", "HEADCOUNT_SERVICE_PORT", "HEADCOUNT_PORT_"]
        .iter()
        .any(|link| variable.starts_with(link))
}

/// What the binary does in place of serving.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Print the two lines of HTML that put a live number on a page
    ///
    /// They pin this version's script: a browser runs no other in its place. After an
    /// upgrade of the server they are to be printed, and pasted, anew. Lines that follow
    /// upgrades by themselves have /client.js for src, and no integrity.
    Embed {
        /// Where browsers reach this server, with the path that it is under, if any
        #[arg(long, value_name = "ORIGIN", value_parser = address)]
        origin: Address,

        /// The room that the page counts in; `page` is the page's own, and `site` its host's
        /// [default: the one room of everyone who names none]
        #[arg(long, value_name = "NAME", value_parser = room)]
        room: Option<Name>,

        /// The address of a page, which counts in its own room (`--room page`). Its badge and
        /// stream are printed too, on standard error
        #[arg(long, value_name = "URL", value_parser = page_room, conflicts_with = "room")]
        page: Option<Name>,
    },

    /// Ask the server on this machine whether it is ready, and exit with 0 if it is, else 1
    ///
    /// It is given the server's own variables, or its options before this word. What it
    /// asks is /readyz at --admin-listen, or without that at --listen. For a container that has
    /// no shell and no curl.
    Health,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line, for machines
    Json,
}

const AFTER_HELP: &str = "\
Every option can also be given by its environment variable; the option wins. A variable
that is empty is not given.
A DURATION is written with its unit: 500ms, 15s, 2m.
RUST_LOG sets what is logged (default: info); for example RUST_LOG=warn.";

fn listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "expected IP:PORT, such as 127.0.0.1:3000 or [::]:3000".into())
}

fn admin_listen(text: &str) -> Result<AdminAddress, String> {
    text.parse().map_err(|_| {
        "expected IP:PORT, such as 127.0.0.1:3001, or unix: and a path, such as \
         unix:/run/headcount/admin"
            .into()
    })
}

fn admin_token(text: &str) -> Result<AdminToken, String> {
    text.parse().map_err(|bad: BadToken| bad.to_string())
}

/// More than any machine has cores.
const MAX_THREADS: usize = 1024;

fn threads(text: &str) -> Result<NonZeroUsize, String> {
    text.parse()
        .ok()
        .filter(|threads: &NonZeroUsize| threads.get() <= MAX_THREADS)
        .ok_or_else(|| format!("expected a whole number from 1 to {MAX_THREADS}"))
}

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);

fn keep_alive(text: &str) -> Result<Duration, String> {
    duration(text, Duration::from_millis(100), HOUR)
}

fn user_timeout(text: &str) -> Result<Duration, String> {
    duration(text, SECOND, HOUR)
}

fn shutdown_grace(text: &str) -> Result<Duration, String> {
    duration(text, Duration::ZERO, HOUR)
}

fn settle(text: &str) -> Result<Duration, String> {
    duration(text, Duration::ZERO, HOUR)
}

fn max_age(text: &str) -> Result<Duration, String> {
    duration(text, SECOND, MONTH)
}

fn duration(text: &str, least: Duration, most: Duration) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text)
        .map_err(|_| "expected a number with its unit, such as 500ms, 15s or 2m")?;
    if (least..=most).contains(&duration) {
        Ok(duration)
    } else {
        let (least, most) = (humantime::format_duration(least), humantime::format_duration(most));
        Err(format!("expected {least} to {most}"))
    }
}

fn at_least_1(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("expected a whole number, 1 or more".into()),
    }
}

fn trusted_proxy(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    let net: Option<IpNet> =
        text.parse().ok().or_else(|| Some(text.parse::<IpAddr>().ok()?.into()));
    match net {
        // Addresses are compared as what they are, so this would never be one.
        Some(IpNet::V6(net)) if net.addr().to_ipv4_mapped().is_some() => {
            Err("expected an IPv4 network to be written as one, such as 10.0.0.0/8".into())
        }
        Some(net) => Ok(net),
        None => Err("expected an address or CIDR, such as 10.0.0.1 or 10.0.0.0/8".into()),
    }
}

fn allow_origin(text: &str) -> Result<AllowedOrigin, String> {
    text.trim().parse().map_err(|_| {
        "expected a scheme, a host and perhaps a port, and nothing more, such as \
         https://example.org or https://*.example.org; or * for any"
            .into()
    })
}

fn room_pattern(text: &str) -> Result<RoomPattern, String> {
    text.trim().parse().map_err(|_| {
        "expected a room's name, in which * and ? may stand for others, such as /blog/*".into()
    })
}

fn address(text: &str) -> Result<Address, String> {
    text.parse().map_err(|_| {
        "expected a scheme, a host and perhaps a port and a path, and nothing more, such as \
         https://count.example.org"
            .into()
    })
}

fn page_room(text: &str) -> Result<Name, String> {
    let url = text.parse::<Url>().ok().filter(|url| url.has_host());
    let url = url.ok_or("expected the address of a page, such as https://example.org/blog/")?;
    page::name(&url).map_err(|bad| bad.to_string())
}

fn room(text: &str) -> Result<Name, String> {
    Name::new(text).map_err(|bad| bad.to_string())
}

fn public_dir(text: &str) -> Result<PathBuf, String> {
    let dir = PathBuf::from(text);
    if dir.join("index.html").is_file() {
        Ok(dir)
    } else {
        Err("expected a directory that has an index.html".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(args: &[&str]) -> Result<Config, String> {
        Config::try_parse_from([&["headcount"], args].concat()).map_err(|e| e.to_string())
    }

    #[test]
    fn the_command_is_well_formed() {
        Config::command().debug_assert();
    }

    #[test]
    fn the_defaults_are_the_contracts() {
        let config = parse(&[]).expect("the defaults are right");
        assert_eq!(config.listen().to_string(), "127.0.0.1:3000");
        assert_eq!(config.keep_alive, Duration::from_secs(15));
        assert_eq!(config.user_timeout, Duration::from_secs(20));
        assert_eq!(config.shutdown_grace, Duration::from_secs(10));
        assert_eq!(config.max_age, None);
        assert_eq!(config.max_streams_per_ip, None);
        assert_eq!(config.max_rooms, 10_000);
        assert_eq!(config.log_format, LogFormat::Text);
    }

    #[test]
    fn every_option_is_also_an_environment_variable_named_after_it() {
        for arg in Config::command().get_arguments() {
            let flag = arg.get_long().expect("options only");
            let variable = format!("HEADCOUNT_{}", flag.to_uppercase().replace('-', "_"));
            assert_eq!(arg.get_env().and_then(|e| e.to_str()), Some(&*variable), "--{flag}");
        }
    }

    #[test]
    fn an_empty_variable_is_not_given() {
        let variable = |value: &'static str| {
            Config::command_of(move |_| Some(value.into()))
                .get_arguments()
                .filter(|arg| arg.get_env().is_some())
                .count()
        };
        assert_eq!(variable(""), 0);
        assert_eq!(variable(" "), Config::command().get_arguments().count());
    }

    #[test]
    fn a_variable_that_matches_no_option_is_known_by_its_name() {
        let variables = [
            "PATH",
            "HEADCOUNT_LISTEN",
            "HEADCOUNT_MAX_STREAM",
            "HEADCOUNT_",
            "HEADCOUNT_listen",
            "XHEADCOUNT_LISTEN",
            "HEADCOUNT_PORT",
            "HEADCOUNT_PORT_3000_TCP_ADDR",
            "HEADCOUNT_SERVICE_HOST",
            "HEADCOUNT_SERVICE_PORT_HTTP",
        ];
        let unknown = Config::unknown_among(variables.map(str::to_owned));
        let expected = ["HEADCOUNT_", "HEADCOUNT_MAX_STREAM", "HEADCOUNT_PORT", "HEADCOUNT_listen"];
        assert_eq!(unknown, expected);
    }

    #[test]
    fn proxies_are_addresses_or_networks_as_many_as_there_are() {
        let config = parse(&["--trusted-proxy=10.0.0.1, 2001:db8::/32", "--trusted-proxy=::1"]);
        let nets: Vec<_> =
            config.expect("they are right").trusted_proxy.iter().map(IpNet::to_string).collect();
        assert_eq!(nets, ["10.0.0.1/32", "2001:db8::/32", "::1/128"]);
    }

    #[test]
    fn origins_are_as_many_as_there_are() {
        let config = parse(&[
            "--allow-origin=https://a.example, HTTPS://*.B.example:443",
            "--allow-origin=*",
        ]);
        let origins = config.expect("they are right").allow_origin;
        let origins: Vec<_> = origins.iter().map(AllowedOrigin::to_string).collect();
        assert_eq!(origins, ["https://a.example", "https://*.b.example", "*"]);
    }

    #[test]
    fn patterns_of_rooms_are_as_many_as_there_are() {
        let rooms = parse(&["--rooms=/blog/*, крам?", "--rooms=lobby"]).expect("they are right");
        let rooms: Vec<_> = rooms.rooms.iter().map(RoomPattern::to_string).collect();
        assert_eq!(rooms, ["/blog/*", "крам?", "lobby"]);
    }

    #[test]
    fn a_certificate_wants_its_key() {
        let message = parse(&["--tls-cert", "a.pem"]).expect_err("it has no key");
        assert!(message.contains("--tls-key <FILE>"), "{message}");
        parse(&["--tls-key", "a.pem"]).expect_err("it has no certificate");
    }

    #[test]
    fn a_token_of_the_operators_wants_their_listener_and_comes_from_one_place() {
        let token = "--admin-token=0123456789abcdef";
        let message = parse(&[token]).expect_err("there is no listener");
        assert!(message.contains("--admin-listen <ADDRESS>"), "{message}");
        let listen = "--admin-listen=0.0.0.0:3001";
        parse(&[listen, token]).expect("it has a listener");
        let message = parse(&[listen, token, "--admin-token-file=a"]).expect_err("there are two");
        assert!(message.contains("cannot be used with"), "{message}");
    }

    #[test]
    fn a_wrong_value_is_refused_with_what_would_be_right() {
        for (args, expected) in [
            (["--listen", "3000"], "expected IP:PORT"),
            (["--listen", "127.0.0.1:70000"], "expected IP:PORT"),
            (["--admin-listen", "3001"], "expected IP:PORT, such as 127.0.0.1:3001, or unix:"),
            (["--admin-listen", "unix:admin"], "expected IP:PORT"),
            (["--admin-token", "too short"], "16 or more visible ASCII characters"),
            (["--keep-alive", "15"], "expected a number with its unit"),
            (["--keep-alive", "0s"], "expected 100ms to 1h"),
            (["--keep-alive", "2h"], "expected 100ms to 1h"),
            (["--user-timeout", "10ms"], "expected 1s to 1h"),
            (["--shutdown-grace", "soon"], "expected a number with its unit"),
            (["--max-age", "0s"], "expected 1s to 30days"),
            (["--max-streams", "0"], "expected a whole number, 1 or more"),
            (["--max-streams-per-ip", "many"], "expected a whole number, 1 or more"),
            (["--max-rooms", "1.5"], "expected a whole number, 1 or more"),
            (["--trusted-proxy", "10.0.0.0/33"], "expected an address or CIDR"),
            (["--trusted-proxy", "::ffff:10.0.0.0/104"], "expected an IPv4 network"),
            (["--allow-origin", "example.org"], "expected a scheme, a host"),
            (["--allow-origin", "https://example.org/"], "expected a scheme, a host"),
            (["--allow-origin", "https://*"], "expected a scheme, a host"),
            (["--allow-origin", "null"], "expected a scheme, a host"),
            (["--allow-origin", ""], "expected a scheme, a host"),
            (["--rooms", ""], "expected a room's name, in which * and ?"),
            (["--rooms", "a,,b"], "expected a room's name, in which * and ?"),
            (["--rooms", "a\nb"], "expected a room's name, in which * and ?"),
            (["--public-dir", "/nowhere"], "expected a directory that has an index.html"),
            (["--log-format", "xml"], "possible values: text, json"),
        ] {
            let message = parse(&args).expect_err("it is wrong");
            assert!(message.contains(expected), "{message}");
            assert!(message.contains(args[0]), "{message}");
        }
    }

    proptest! {
        #[test]
        fn a_cidr_is_what_reads_back_as_one(text in "[0-9a-f.:/]{0,20}|\\PC{0,20}") {
            if let Ok(net) = trusted_proxy(&text) {
                prop_assert_eq!(trusted_proxy(&net.to_string()), Ok(net));
            }
        }

        #[test]
        fn every_network_is_taken(address: std::net::Ipv6Addr, length in 0..=128_u8) {
            let net = format!("{address}/{length}");
            prop_assert!(trusted_proxy(&net).is_ok() || address.to_ipv4_mapped().is_some());
        }

        #[test]
        fn no_duration_panics_or_leaves_its_range(text in "[0-9a-z. ]{0,20}|[0-9]{1,30}(ms|s|h|y)") {
            if let Ok(duration) = duration(&text, SECOND, HOUR) {
                prop_assert!((SECOND..=HOUR).contains(&duration));
            }
        }
    }
}
