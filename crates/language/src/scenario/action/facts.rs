//! Facts about an action that other rooms need. Each function has an arm for every kind, so that the compiler names the
//! places that a new kind must decide.

use super::{Action, ClientStep, EventStep, PresignStep, ScriptStep, Task};

impl Action {
    /// What signs a URL or a form, and its key below the step: the step itself, or the client that it runs.
    pub fn signing(&self) -> Option<(&'static str, &PresignStep)> {
        match self {
            Self::Presign(it) => Some(("presign", it)),
            Self::Client(ClientStep { task: Task::Presign(it), .. }) => Some(("client/presign", it)),
            Self::Client(ClientStep { task: Task::S3(_) | Task::Http(_), .. })
            | Self::Dns(_)
            | Self::Tls(_)
            | Self::Http(_)
            | Self::S3(_)
            | Self::Sts(_)
            | Self::Jwt(_)
            | Self::Script(_)
            | Self::Sqlite(_)
            | Self::Replica(_)
            | Self::Resource(_)
            | Self::Log(_)
            | Self::Event(_)
            | Self::Apply(_)
            | Self::Patch(_)
            | Self::Delete(_)
            | Self::Scale(_)
            | Self::Restart(_)
            | Self::Kill(_)
            | Self::End(_)
            | Self::Start(_)
            | Self::Rotate(_)
            | Self::Background(_)
            | Self::Prober(_)
            | Self::Repeat(_)
            | Self::Measure(_)
            | Self::Figures(_) => None,
        }
    }

    /// Whether one try of it waits until what it looks for comes.
    pub fn follows(&self) -> bool {
        match self {
            Self::Log(_) | Self::Event(_) => true,
            Self::Dns(_)
            | Self::Tls(_)
            | Self::Http(_)
            | Self::S3(_)
            | Self::Presign(_)
            | Self::Sts(_)
            | Self::Jwt(_)
            | Self::Script(_)
            | Self::Client(_)
            | Self::Sqlite(_)
            | Self::Replica(_)
            | Self::Resource(_)
            | Self::Apply(_)
            | Self::Patch(_)
            | Self::Delete(_)
            | Self::Scale(_)
            | Self::Restart(_)
            | Self::Kill(_)
            | Self::End(_)
            | Self::Start(_)
            | Self::Rotate(_)
            | Self::Background(_)
            | Self::Prober(_)
            | Self::Repeat(_)
            | Self::Measure(_)
            | Self::Figures(_) => false,
        }
    }

    /// The look at events, if it is one.
    pub fn events(&self) -> Option<&EventStep> {
        match self {
            Self::Event(it) => Some(it),
            Self::Dns(_)
            | Self::Tls(_)
            | Self::Http(_)
            | Self::S3(_)
            | Self::Presign(_)
            | Self::Sts(_)
            | Self::Jwt(_)
            | Self::Script(_)
            | Self::Client(_)
            | Self::Sqlite(_)
            | Self::Replica(_)
            | Self::Resource(_)
            | Self::Log(_)
            | Self::Apply(_)
            | Self::Patch(_)
            | Self::Delete(_)
            | Self::Scale(_)
            | Self::Restart(_)
            | Self::Kill(_)
            | Self::End(_)
            | Self::Start(_)
            | Self::Rotate(_)
            | Self::Background(_)
            | Self::Prober(_)
            | Self::Repeat(_)
            | Self::Measure(_)
            | Self::Figures(_) => None,
        }
    }

    /// The program that it runs, whose effects are not known.
    pub fn program(&self) -> Option<&ScriptStep> {
        match self {
            Self::Script(it) => Some(it),
            Self::Dns(_)
            | Self::Tls(_)
            | Self::Http(_)
            | Self::S3(_)
            | Self::Presign(_)
            | Self::Sts(_)
            | Self::Jwt(_)
            | Self::Client(_)
            | Self::Sqlite(_)
            | Self::Replica(_)
            | Self::Resource(_)
            | Self::Log(_)
            | Self::Event(_)
            | Self::Apply(_)
            | Self::Patch(_)
            | Self::Delete(_)
            | Self::Scale(_)
            | Self::Restart(_)
            | Self::Kill(_)
            | Self::End(_)
            | Self::Start(_)
            | Self::Rotate(_)
            | Self::Background(_)
            | Self::Prober(_)
            | Self::Repeat(_)
            | Self::Measure(_)
            | Self::Figures(_) => None,
        }
    }
}
