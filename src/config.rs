//! Every setting: its default, its unit, and why that default.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

/// How many people are here, right now: a live user counter over Server-Sent
/// Events.
///
/// Open the address in a browser, or watch the count with
/// `curl -N http://127.0.0.1:3000/events`.
#[derive(Clone, Debug, Parser)]
#[command(version, max_term_width = 90, after_help = AFTER_HELP)]
pub struct Config {
    /// The address to listen on, as IP:PORT; port 0 takes any that is free
    ///
    /// Loopback by default: to let others in is to be a decision (0.0.0.0:3000
    /// or [::]:3000), or a proxy's business.
    #[arg(long, env = "HEADCOUNT_LISTEN", value_name = "IP:PORT", value_parser = listen,
          default_value = "127.0.0.1:3000")]
    pub listen: SocketAddr,

    /// After so long without a change a stream is told the count again (0.1s to 1h)
    ///
    /// This heartbeat shows both sides whether the other is still there. Proxies
    /// cut a stream that is silent for 30 to 60 s, so the default is half of that.
    #[arg(long, env = "HEADCOUNT_KEEP_ALIVE", value_name = "DURATION",
          value_parser = keep_alive, default_value = "15s")]
    pub keep_alive: Duration,

    /// How long sent data may stay unacknowledged before a client counts as gone (1s to 1h)
    ///
    /// A peer that vanished without a word is uncounted within keep-alive +
    /// user-timeout. 20 s outlast a short loss of signal (`TCP_USER_TIMEOUT`, RFC 5482).
    #[arg(long, env = "HEADCOUNT_USER_TIMEOUT", value_name = "DURATION",
          value_parser = user_timeout, default_value = "20s")]
    pub user_timeout: Duration,

    /// How long a stop waits for clients that don't take their last bytes (up to 1h)
    ///
    /// All others are ended at once. 10 s is less than systemd (90 s) or Kubernetes (30 s)
    /// wait before they kill.
    #[arg(long, env = "HEADCOUNT_SHUTDOWN_GRACE", value_name = "DURATION",
          value_parser = shutdown_grace, default_value = "10s")]
    pub shutdown_grace: Duration,

    /// Serve the page from this directory, in place of the page inside the binary
    ///
    /// For work on the page: files are read anew for each request.
    #[arg(long, env = "HEADCOUNT_PUBLIC_DIR", value_name = "DIR", value_parser = public_dir)]
    pub public_dir: Option<PathBuf>,

    /// The form of the log, which goes to standard error
    #[arg(long, env = "HEADCOUNT_LOG_FORMAT", value_name = "FORMAT", value_enum,
          default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
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
Every option can also be given by its environment variable; the option wins.
A DURATION is written with its unit: 500ms, 15s, 2m.
RUST_LOG sets what is logged (default: info); for example RUST_LOG=warn.";

fn listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "expected IP:PORT, such as 127.0.0.1:3000 or [::]:3000".into())
}

fn keep_alive(text: &str) -> Result<Duration, String> {
    duration(text, Duration::from_millis(100))
}

fn user_timeout(text: &str) -> Result<Duration, String> {
    duration(text, Duration::from_secs(1))
}

fn shutdown_grace(text: &str) -> Result<Duration, String> {
    duration(text, Duration::ZERO)
}

fn duration(text: &str, least: Duration) -> Result<Duration, String> {
    const MOST: Duration = Duration::from_secs(3600);
    let duration = humantime::parse_duration(text)
        .map_err(|_| "expected a number with its unit, such as 500ms, 15s or 2m")?;
    if (least..=MOST).contains(&duration) {
        Ok(duration)
    } else {
        let (least, most) = (humantime::format_duration(least), humantime::format_duration(MOST));
        Err(format!("expected {least} to {most}"))
    }
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
    use clap::CommandFactory;

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
        assert_eq!(config.listen.to_string(), "127.0.0.1:3000");
        assert_eq!(config.keep_alive, Duration::from_secs(15));
        assert_eq!(config.user_timeout, Duration::from_secs(20));
        assert_eq!(config.shutdown_grace, Duration::from_secs(10));
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
    fn a_wrong_value_is_told_with_what_would_be_right() {
        for (args, expected) in [
            (["--listen", "3000"], "expected IP:PORT"),
            (["--listen", "127.0.0.1:70000"], "expected IP:PORT"),
            (["--keep-alive", "15"], "expected a number with its unit"),
            (["--keep-alive", "0s"], "expected 100ms to 1h"),
            (["--keep-alive", "2h"], "expected 100ms to 1h"),
            (["--user-timeout", "10ms"], "expected 1s to 1h"),
            (["--shutdown-grace", "soon"], "expected a number with its unit"),
            (["--public-dir", "/nowhere"], "expected a directory that has an index.html"),
            (["--log-format", "xml"], "possible values: text, json"),
        ] {
            let message = parse(&args).expect_err("it is wrong");
            assert!(message.contains(expected), "{message}");
            assert!(message.contains(args[0]), "{message}");
        }
    }
}
