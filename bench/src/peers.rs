//! The servers that are measured beside each other.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::ensure;

use crate::certificate::Certificate;
use crate::load::Protocol;
use crate::way::Way;

/// What everything is measured against.
pub const FLOOR: &str = "floor";

/// What this is all about.
pub const HEADCOUNT: &str = "headcount";

/// What is compared with on the ways that browsers take.
pub const NCHAN: &str = "nchan";

/// A server that counts its users.
#[derive(Debug)]
pub struct Peer {
    /// Its name on the command line and in the figures.
    pub name: &'static str,
    /// Its name in the report.
    pub title: &'static str,
    /// How its clients speak to it.
    pub protocol: Protocol,
    /// The ways that it is compared on, one connection a visitor.
    pub ways: &'static [Way],
    /// Which crowd it can be measured with.
    pub crowd: Crowd,
    /// Whether a quick run has it.
    pub quick: bool,
    program: Program,
    /// What tells its version: a program that is asked for it, or a package of npm.
    versions: &'static [Version],
}

/// How large a crowd is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crowd {
    /// As large as one process's file descriptors allow.
    Large,
    /// For a server that tells each of n joins to everybody before it: it sends n² / 2
    /// events until a crowd is there.
    Small,
}

#[derive(Debug)]
enum Program {
    /// Built with the bench, and told where to listen with `--listen`.
    Built,
    /// `bench/peers/<name>/run`, told its port in `PORT`; with `TLS_CERT` and `TLS_KEY`
    /// it speaks TLS, and with `HTTP2` nothing but that, or offers it over TLS.
    Script,
}

#[derive(Debug)]
enum Version {
    Asked(&'static str, &'static str),
    Package(&'static str),
}

/// All of them, in the order in which they are measured and shown.
pub const PEERS: [Peer; 8] = [
    Peer {
        name: FLOOR,
        title: "the floor",
        protocol: Protocol::EventStream,
        ways: &[Way::Http1],
        crowd: Crowd::Large,
        quick: true,
        program: Program::Built,
        versions: &[Version::Asked("rustc", "--version")],
    },
    Peer {
        name: HEADCOUNT,
        title: "Headcount",
        protocol: Protocol::EventStream,
        ways: &Way::ALL,
        crowd: Crowd::Large,
        quick: true,
        program: Program::Built,
        versions: &[],
    },
    Peer {
        name: "plain",
        title: "plain axum",
        protocol: Protocol::EventStream,
        ways: &[],
        crowd: Crowd::Large,
        quick: true,
        program: Program::Built,
        versions: &[],
    },
    Peer {
        name: "bun",
        title: "Bun",
        protocol: Protocol::EventStream,
        ways: &[],
        crowd: Crowd::Small,
        quick: false,
        program: Program::Script,
        versions: &[Version::Package("bun")],
    },
    Peer {
        name: NCHAN,
        title: "nginx + nchan",
        protocol: Protocol::EventStream,
        ways: &[Way::TlsHttp1, Way::TlsHttp2],
        crowd: Crowd::Large,
        quick: false,
        program: Program::Script,
        versions: &[Version::Asked("nginx", "-v")],
    },
    Peer {
        name: "node-sse",
        title: "Node",
        protocol: Protocol::EventStream,
        ways: &[Way::TlsHttp2],
        crowd: Crowd::Small,
        quick: false,
        program: Program::Script,
        versions: &[Version::Asked("node", "--version")],
    },
    Peer {
        name: "better-sse",
        title: "Node + better-sse",
        protocol: Protocol::EventStream,
        ways: &[],
        crowd: Crowd::Small,
        quick: false,
        program: Program::Script,
        versions: &[Version::Package("better-sse")],
    },
    Peer {
        name: "socketio",
        title: "Node + Socket.IO",
        protocol: Protocol::SocketIo,
        ways: &[],
        crowd: Crowd::Small,
        quick: false,
        program: Program::Script,
        versions: &[Version::Package("socket.io")],
    },
];

/// The peer of this name.
#[must_use]
pub fn peer(name: &str) -> Option<&'static Peer> {
    PEERS.iter().find(|peer| peer.name == name)
}

impl Peer {
    /// How its clients speak to it on one of the ways.
    #[must_use]
    pub fn protocol(&self, way: Way) -> Protocol {
        if way == Way::Http1 { self.protocol } else { way.protocol() }
    }

    /// The command that starts it, to listen on `address` with room for `streams` that
    /// come by this way; over TLS with this certificate.
    #[must_use]
    pub fn command(
        &self,
        address: SocketAddr,
        streams: usize,
        way: Way,
        certificate: Option<&Certificate>,
    ) -> Command {
        let mut command = Command::new(self.path());
        match self.program {
            Program::Built => {
                command.arg("--listen").arg(address.to_string());
                if self.name == HEADCOUNT {
                    command.arg("--max-streams").arg((streams + 100).to_string());
                    // Two lines for each stream are logged by default. No peer logs any.
                    command.env("RUST_LOG", "warn");
                    if let Some(certificate) = certificate {
                        command.arg("--tls-cert").arg(certificate.chain());
                        command.arg("--tls-key").arg(certificate.key());
                    }
                }
            }
            Program::Script => {
                command.env("PORT", address.port().to_string());
                if let Some(certificate) = certificate {
                    command.env("TLS_CERT", certificate.chain());
                    command.env("TLS_KEY", certificate.key());
                }
                if way.has_http2() {
                    command.env("HTTP2", "1");
                }
            }
        }
        command
    }

    /// Whether it is there at all.
    ///
    /// # Errors
    /// If not, with what is missing.
    pub fn is_there(&self) -> anyhow::Result<()> {
        let path = self.path();
        ensure!(path.exists(), "there is no {}", self.shown(&path));
        Ok(())
    }

    /// What its versions are, as far as they can be told.
    #[must_use]
    pub fn version(&self) -> Option<String> {
        let versions = self.versions.iter().filter_map(|version| match version {
            Version::Asked(program, option) => {
                let output = Command::new(program).arg(option).output().ok()?;
                // nginx tells it on standard error.
                let said = [output.stdout, output.stderr].concat();
                let line = String::from_utf8_lossy(&said).lines().next()?.trim().to_owned();
                Some(if line.contains(program) { line } else { format!("{program} {line}") })
            }
            Version::Package(package) => {
                let installed = |folder: PathBuf| {
                    let manifest = folder.join("node_modules").join(package).join("package.json");
                    let manifest = fs::read(manifest).ok()?;
                    let manifest: serde_json::Value = serde_json::from_slice(&manifest).ok()?;
                    Some(format!("{package} {}", manifest["version"].as_str()?))
                };
                installed(peers_folder().join(self.name)).or_else(|| installed(peers_folder()))
            }
        });
        versions.reduce(|all, one| format!("{all}, {one}"))
    }

    fn path(&self) -> PathBuf {
        match self.program {
            // Cargo puts them beside the bench itself.
            Program::Built => std::env::current_exe().unwrap_or_default().with_file_name(self.name),
            Program::Script => peers_folder().join(self.name).join("run"),
        }
    }

    fn shown(&self, path: &Path) -> String {
        match self.program {
            Program::Built => format!("{} beside the bench: build it", self.name),
            Program::Script => {
                let inside = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap_or(path);
                format!("bench/{}: bench/setup.sh installs the peers", inside.display())
            }
        }
    }
}

fn peers_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}
