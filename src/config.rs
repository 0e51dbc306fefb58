//! Every setting: its default, its unit, and why that default.

use std::ffi::{OsStr, OsString};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{BoolishValueParser, Resettable};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use ipnet::IpNet;
use url::Url;

use crate::admin::{AdminAddress, AdminToken, BadToken};
use crate::embed::Address;
use crate::history;
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
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// The IP:PORT to listen on; port 0 picks a free one [default: 127.0.0.1:3000]
    ///
    /// The default is reachable only from this machine, such as by a proxy. To accept
    /// connections from others, use 0.0.0.0:3000 or `[::]:3000`. With socket activation, the
    /// socket unit has the address; leave this option out.
    #[arg(long, env = "HEADCOUNT_LISTEN", value_name = "IP:PORT", value_parser = listen)]
    pub listen: Option<SocketAddr>,

    /// Serve the operator on this address: IP:PORT or unix:/PATH [default: off]
    ///
    /// It serves the dashboard with its API, /metrics, /healthz and /readyz over plain HTTP;
    /// /metrics is then off on the public address. An address that is neither loopback nor a
    /// Unix socket requires a token.
    #[arg(long, env = "HEADCOUNT_ADMIN_LISTEN", value_name = "ADDRESS",
          value_parser = admin_listen)]
    pub admin_listen: Option<AdminAddress>,

    /// Require `Authorization: Bearer TOKEN` from the operator; at least 16 characters
    ///
    /// Other users of this machine can read it in the list of processes; prefer
    /// --admin-token-file.
    #[arg(long, env = "HEADCOUNT_ADMIN_TOKEN", value_name = "TOKEN", value_parser = admin_token,
          hide_env_values = true, requires = "admin_listen",
          conflicts_with = "admin_token_file")]
    pub admin_token: Option<AdminToken>,

    /// A file that contains the operator's token
    #[arg(
        long,
        env = "HEADCOUNT_ADMIN_TOKEN_FILE",
        value_name = "FILE",
        requires = "admin_listen"
    )]
    pub admin_token_file: Option<PathBuf>,

    /// Repeat the count on every stream at least this often (0.1s to 1h)
    ///
    /// This heartbeat shows each side that the other is still there. Proxies close streams
    /// that are silent for 30 to 60 s, so the default is half of that.
    #[arg(long, env = "HEADCOUNT_KEEP_ALIVE", value_name = "DURATION",
          value_parser = keep_alive, default_value = "15s")]
    pub keep_alive: Duration,

    /// How long sent data may go unacknowledged before a client counts as gone (1s to 1h)
    ///
    /// A client that vanishes silently is uncounted within --keep-alive + --user-timeout.
    /// 20 s outlasts a short loss of signal. (RFC 5482 calls this the user timeout.)
    #[arg(long, env = "HEADCOUNT_USER_TIMEOUT", value_name = "DURATION",
          value_parser = user_timeout, default_value = "20s")]
    pub user_timeout: Duration,

    /// How long a client may read nothing while data waits for it (1s to 1h) [default:
    /// --user-timeout]
    ///
    /// Data waits once the buffers of a client that has stopped reading are full. Clients
    /// choose the size of their buffers; --max-age applies to all of them.
    #[arg(long, env = "HEADCOUNT_STALL_TIMEOUT", value_name = "DURATION",
          value_parser = user_timeout)]
    pub stall_timeout: Option<Duration>,

    /// How long a stop waits for clients that do not read their last bytes (up to 1h)
    ///
    /// All other streams end at once. systemd kills after 90 s and Kubernetes after 30 s, so
    /// the default leaves time.
    #[arg(long, env = "HEADCOUNT_SHUTDOWN_GRACE", value_name = "DURATION",
          value_parser = shutdown_grace, default_value = "10s")]
    pub shutdown_grace: Duration,

    /// End streams at this age and hold their seats for 10 s (1s to 30days; default: never)
    ///
    /// A client that still reads comes back at once, and no number changes; one that does
    /// not is gone for good. Ages vary at random by a fifth, so that not all end together.
    #[arg(long, env = "HEADCOUNT_MAX_AGE", value_name = "DURATION", value_parser = max_age)]
    pub max_age: Option<Duration>,

    /// Record seats in this file, so that a restart or a crash does not change any number
    ///
    /// A process started with the same file within a minute goes on counting the clients of
    /// the last one, and gives them 10 s to come back. Put it in memory (/run, /dev/shm),
    /// where no disk can slow a join: it need not survive a reboot. It takes 32 bytes a seat.
    #[arg(long, env = "HEADCOUNT_SEATS", value_name = "FILE")]
    pub seats: Option<PathBuf>,

    /// Record how many people were in each room in this file, an SQLite database
    ///
    /// It keeps the fewest, mean and most people of a room for every minute (48 h) and every
    /// hour (400 days). A slow or full disk delays no visitor. (With --admin-listen, the last
    /// five minutes are kept in memory in any case.)
    #[arg(long, env = "HEADCOUNT_HISTORY", value_name = "FILE")]
    pub history: Option<PathBuf>,

    /// How many rooms the history keeps; the smallest go first
    #[arg(long, env = "HEADCOUNT_HISTORY_MAX_ROOMS", value_name = "NUMBER",
          value_parser = at_least_1, default_value_t = history::MAX_ROOMS)]
    pub history_max_rooms: usize,

    /// Refuse /history and /history.svg on the public address, with 403
    #[arg(long, env = "HEADCOUNT_PRIVATE_HISTORY", value_parser = BoolishValueParser::new())]
    pub private_history: bool,

    /// Count together with all nodes that use this Redis; repeatable for a Redis Cluster
    ///
    /// redis://HOST:PORT, or rediss://HOST:PORT for TLS; USER:PASSWORD@ may precede the host.
    /// Separate several by commas in the variable. Requires Redis 6.2 or Valkey; see
    /// docs/cluster.md.
    #[arg(
        long,
        env = "HEADCOUNT_REDIS",
        value_name = "URL",
        value_delimiter = ',',
        hide_env_values = true,
        conflicts_with = "seats"
    )]
    pub redis: Vec<String>,

    /// The prefix of all keys in Redis; nodes with different prefixes count separately
    #[arg(
        long,
        env = "HEADCOUNT_REDIS_PREFIX",
        value_name = "NAME",
        default_value = "headcount",
        requires = "redis"
    )]
    pub redis_prefix: String,

    /// The CA certificates (PEM) to trust for Redis, instead of the system's
    #[arg(long, env = "HEADCOUNT_REDIS_CA", value_name = "FILE", requires = "redis")]
    pub redis_ca: Option<PathBuf>,

    /// The user name for Redis, if the URL has none
    #[arg(
        long,
        env = "HEADCOUNT_REDIS_USER",
        value_name = "NAME",
        requires = "redis_password_file"
    )]
    pub redis_user: Option<String>,

    /// A file that contains the password for Redis, if the URL has none
    #[arg(long, env = "HEADCOUNT_REDIS_PASSWORD_FILE", value_name = "FILE", requires = "redis")]
    pub redis_password_file: Option<PathBuf>,

    /// The name of this node in the log and in /metrics [default: the host's name]
    #[arg(long, env = "HEADCOUNT_NODE", value_name = "NAME")]
    pub node: Option<String>,

    /// How long numbers stay partial after a start, unless known to be whole (up to 1h)
    ///
    /// Clients of the previous process need 2 to 5 s to come back. With a seats file, or
    /// with another node running, their seats are known and numbers are whole at once.
    #[arg(long, env = "HEADCOUNT_SETTLE", value_name = "DURATION", value_parser = settle,
          default_value = "6s")]
    pub settle: Duration,

    /// How many streams may be open; further ones are refused with 503
    ///
    /// Each needs a file descriptor. Default: as many as the process may have
    /// (RLIMIT_NOFILE, raised as far as the system allows), minus a reserve.
    #[arg(long, env = "HEADCOUNT_MAX_STREAMS", value_name = "NUMBER", value_parser = at_least_1)]
    pub max_streams: Option<usize>,

    /// How many streams one address may have; further ones get 429 (default: no limit)
    ///
    /// Whole offices and mobile networks share one address. An IPv6 /64, which is what one
    /// client usually has, counts as one address.
    #[arg(long, env = "HEADCOUNT_MAX_STREAMS_PER_IP", value_name = "NUMBER",
          value_parser = at_least_1)]
    pub max_streams_per_ip: Option<usize>,

    /// How many connections may be open; a further one replaces the longest idle
    ///
    /// Connections with a stream are never closed for others; if all have one, the newest
    /// is closed. Default: as many as the process may have file descriptors, minus a reserve.
    #[arg(long, env = "HEADCOUNT_MAX_CONNECTIONS", value_name = "NUMBER",
          value_parser = at_least_1)]
    pub max_connections: Option<usize>,

    /// How many connections one address may have (default: no limit)
    ///
    /// Trusted proxies are exempt.
    #[arg(long, env = "HEADCOUNT_MAX_CONNECTIONS_PER_IP", value_name = "NUMBER",
          value_parser = at_least_1)]
    pub max_connections_per_ip: Option<usize>,

    /// How many rooms may be open; a stream that needs a further one is refused with 503
    ///
    /// Anyone who can reach the server can open rooms, and each takes about 2 kB. The room
    /// `lobby` is always available.
    #[arg(long, env = "HEADCOUNT_MAX_ROOMS", value_name = "NUMBER", value_parser = at_least_1,
          default_value_t = rooms::MAX_ROOMS)]
    pub max_rooms: usize,

    /// How many rooms one address may be in; a stream that needs a further one gets 429
    ///
    /// This keeps one client from taking all rooms; `lobby` is exempt. Default: a tenth of
    /// --max-rooms; if that is below 1,000, 100 but at most half of --max-rooms; if that is
    /// below 10, no limit.
    #[arg(long, env = "HEADCOUNT_MAX_ROOMS_PER_IP", value_name = "NUMBER",
          value_parser = at_least_1)]
    pub max_rooms_per_ip: Option<usize>,

    /// How many threads serve streams (default: one per core)
    #[arg(long, env = "HEADCOUNT_THREADS", value_name = "NUMBER", value_parser = threads)]
    pub threads: Option<NonZeroUsize>,

    /// A proxy whose X-Forwarded-For to trust, as an address or CIDR; repeatable
    ///
    /// Separate several by commas in the variable. By default no proxy is trusted, and a
    /// client's address is that of its connection.
    #[arg(long, env = "HEADCOUNT_TRUSTED_PROXY", value_name = "CIDR",
          value_parser = trusted_proxy, value_delimiter = ',')]
    pub trusted_proxy: Vec<IpNet>,

    /// An origin whose pages may use this server, besides its own; repeatable
    ///
    /// `https://example.org`, `https://*.example.org` for all its subdomains, or `*` for any.
    /// Separate several by commas in the variable. Pages of other origins are refused with
    /// 403; clients that send no `Origin`, such as curl, are not.
    #[arg(long, env = "HEADCOUNT_ALLOW_ORIGIN", value_name = "ORIGIN",
          value_parser = allow_origin, value_delimiter = ',')]
    pub allow_origin: Vec<AllowedOrigin>,

    /// Allow only the rooms that match this pattern; repeatable (default: all rooms)
    ///
    /// `*` matches any number of characters, and `?` exactly one: `/blog/*`. Separate several
    /// patterns by commas in the variable. Requests for other rooms are refused with 403,
    /// `lobby` included.
    #[arg(long, env = "HEADCOUNT_ROOMS", value_name = "PATTERN", value_parser = room_pattern,
          value_delimiter = ',')]
    pub rooms: Vec<RoomPattern>,

    /// Serve over TLS with this certificate chain, a PEM file; reread on SIGHUP
    ///
    /// (Without TLS, SIGHUP stops the server, as SIGTERM does; but under a supervisor that sets
    /// NOTIFY_SOCKET, such as systemd, it does nothing.)
    #[arg(long, env = "HEADCOUNT_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// The private key of the certificate, a PEM file; reread on SIGHUP
    #[arg(long, env = "HEADCOUNT_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// Serve the page from this directory, instead of the one built into the binary
    ///
    /// For development: files are read again for each request. Only regular files inside the
    /// directory are served, and none whose name begins with a dot.
    #[arg(long, env = "HEADCOUNT_PUBLIC_DIR", value_name = "DIR", value_parser = public_dir)]
    pub public_dir: Option<PathBuf>,

    /// The format of the log, which goes to standard error
    #[arg(long, env = "HEADCOUNT_LOG_FORMAT", value_name = "FORMAT", value_enum,
          default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

impl Config {
    /// Reads the arguments and the environment. If they are wrong, or ask for help, prints a
    /// message and ends the process.
    #[must_use]
    pub fn read() -> Self {
        let matches = Self::command_of(|variable| std::env::var_os(variable)).get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }

    /// The command, given these values of the variables. An empty variable counts as absent:
    /// compose files and unit files have no other way to leave one out.
    fn command_of(value: impl Fn(&OsStr) -> Option<OsString>) -> clap::Command {
        Self::command().mut_args(|arg| {
            let is_empty = arg.get_env().and_then(&value).is_some_and(|value| value.is_empty());
            if is_empty { arg.env(Resettable::Reset) } else { arg }
        })
    }

    /// The variables that look like an option's but match none: a mistyped name would otherwise
    /// be silently ignored.
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

/// What the binary does instead of serving.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Print the two lines of HTML that put a live number on a page
    ///
    /// The lines pin this version's script, so that browsers run no other. After upgrading
    /// the server, print and paste them again. To follow upgrades automatically, use
    /// /client.js as the src and leave out the integrity attribute.
    Embed {
        /// Where browsers reach this server, including its path behind a proxy, if any
        #[arg(long, value_name = "ORIGIN", value_parser = address)]
        origin: Address,

        /// The room to count in; `page` gives each page its own, and `site` each host
        /// [default: lobby]
        #[arg(long, value_name = "NAME", value_parser = room)]
        room: Option<Name>,

        /// The address of a page that counts in its own room (`--room page`); also prints its
        /// badge and stream, to standard error
        #[arg(long, value_name = "URL", value_parser = page_room, conflicts_with = "room")]
        page: Option<Name>,
    },

    /// Exit with 0 if the server on this machine is ready, and with 1 if it is not
    ///
    /// Give it the server's own variables, or its options before the word `health`. It asks
    /// /readyz at --admin-listen or, without that, at --listen. For containers that have no
    /// shell and no curl.
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
Each option can also be set by its environment variable; the option wins. An empty
variable counts as unset.
Write a DURATION with its unit: 500ms, 15s, 2m.
RUST_LOG sets the level of the log (default: info), for example RUST_LOG=warn.";

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

/// More cores than any machine has.
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
        // Addresses are compared in their canonical form, so this network would match none.
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
        "expected a room's name, in which * and ? may stand for other characters, such as \
         /blog/*"
            .into()
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
