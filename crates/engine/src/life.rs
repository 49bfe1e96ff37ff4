//! Detects whether a container has ended or was restarted between two inspections.

use testcontainers::bollard::models::ContainerState;

use super::connect::Engine;
use super::error::{EngineError, status};

/// The state of a container at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Life {
    /// The time at which the container was last started, as the engine writes it. `None` if the engine has no such
    /// container.
    pub began: Option<String>,
    /// Whether the container runs at this moment.
    pub runs: bool,
    /// The exit code of the container, which has no meaning while the container runs. `None` if the engine has no such
    /// container.
    pub exit_code: Option<i64>,
    /// Whether the kernel killed the container because its memory was used up.
    pub out_of_memory: bool,
}

impl Engine {
    /// Reads the present state of a container. A container that does not exist counts as not running.
    pub async fn life(&self, name: &str) -> Result<Life, EngineError> {
        match self.docker.inspect_container(name, None).await {
            Ok(inspected) => Ok(inspected.state.map(Life::of).unwrap_or_default()),
            Err(error) if status(&error) == Some(404) => Ok(Life::default()),
            Err(source) => Err(EngineError::Call { doing: format!("inspect container {name}"), source }),
        }
    }
}

impl Life {
    fn of(state: ContainerState) -> Self {
        Self {
            began: state.started_at,
            runs: state.running.unwrap_or_default(),
            exit_code: state.exit_code,
            out_of_memory: state.oom_killed.unwrap_or_default(),
        }
    }

    /// How the container ended, as a text for people; `None` if the container runs.
    pub fn end(&self) -> Option<String> {
        if self.runs {
            return None;
        }
        let memory = if self.out_of_memory { "OOMKilled, " } else { "" };
        Some(match self.exit_code {
            Some(code) => format!("{memory}exit code {code}, and it does not run"),
            None => "it is gone".to_owned(),
        })
    }

    /// How the container ended between the moment of `self` and the moment of `now`, as a text for people. `None` if it
    /// did not run at the first moment, or ran all the time.
    pub fn ended(&self, now: &Self) -> Option<String> {
        if !self.runs || now.runs && now.began == self.began {
            return None;
        }
        now.end().or_else(|| Some("it ended, and was begun again".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_that_ended_since_says_how() {
        let life = |began: &str, runs, exit_code, out_of_memory| Life {
            began: Some(began.to_owned()),
            runs,
            exit_code: Some(exit_code),
            out_of_memory,
        };
        let ran = life("1", true, 0, false);
        for (now, expected) in [
            (life("1", true, 0, false), None),
            (life("2", true, 0, false), Some("it ended, and was begun again")),
            (life("1", false, 137, true), Some("OOMKilled, exit code 137, and it does not run")),
            (life("1", false, 1, false), Some("exit code 1, and it does not run")),
            (Life::default(), Some("it is gone")),
        ] {
            assert_eq!(ran.ended(&now).as_deref(), expected, "{now:?}");
            assert_eq!(life("1", false, 1, false).ended(&now), None, "one that did not run ends no more");
        }
    }
}
