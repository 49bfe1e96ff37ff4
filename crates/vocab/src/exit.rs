//! The exit codes of the harness.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The meaning of the exit code. It distinguishes a fault of the system under test from a failure of the harness or the
/// machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// Exit code 0: everything was as declared.
    AsExpected,
    /// Exit code 1: the system under test is not as declared. An expectation did not hold, or a break did not cause the
    /// declared failures.
    NotAsExpected,
    /// Exit code 2: a scenario or the command line has a mistake, and nothing was started.
    Usage,
    /// Exit code 3: the harness, the engine or the machine failed.
    Harness,
    /// Exit code 130: the user interrupted the run.
    Interrupted,
}

impl Exit {
    /// The number that the process exits with.
    pub fn code(self) -> u8 {
        match self {
            Self::AsExpected => 0,
            Self::NotAsExpected => 1,
            Self::Usage => 2,
            Self::Harness => 3,
            Self::Interrupted => 130,
        }
    }

    /// The meaning of an exit code; `None` if Parallax never exits with this code.
    pub fn of_code(code: u8) -> Option<Self> {
        let all = [Self::AsExpected, Self::NotAsExpected, Self::Usage, Self::Harness, Self::Interrupted];
        all.into_iter().find(|it| it.code() == code)
    }
}
