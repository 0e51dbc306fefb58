//! Why the program ends without having done what it should.

use std::process::ExitCode;

/// A message for whoever started it, and whether trying again may help.
pub(crate) enum Failure {
    /// The settings can't work. Options that can't be read end the program with the same code,
    /// and systemd doesn't start it again then.
    Settings(String),
    /// The system refused something, which may work later.
    System(String),
}

impl Failure {
    pub(crate) fn message(&self) -> &str {
        match self {
            Self::Settings(message) | Self::System(message) => message,
        }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Settings(_) => ExitCode::from(2),
            Self::System(_) => ExitCode::FAILURE,
        }
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::System(message)
    }
}
