//! Facts about an action that other rooms need. One function has an arm for every kind, so that the compiler names the
//! place where a new kind must decide; the others follow from it.

use super::{Action, ClientStep, EventStep, PresignStep, ScriptStep, Task};

/// What is special about an action.
enum Special<'a> {
    /// It signs a URL or a form. With the key of what signs, below the step.
    Signs(&'static str, &'a PresignStep),
    /// It reads a log until what it looks for comes.
    Log,
    /// It looks at events until what it looks for comes.
    Events(&'a EventStep),
    /// It runs a program, whose effects are not known.
    Program(&'a ScriptStep),
    Nothing,
}

impl Action {
    fn special(&self) -> Special<'_> {
        match self {
            Self::Presign(it) => Special::Signs("presign", it),
            Self::Client(ClientStep { task: Task::Presign(it), .. }) => Special::Signs("client/presign", it),
            Self::Log(_) => Special::Log,
            Self::Event(it) => Special::Events(it),
            Self::Script(it) => Special::Program(it),
            Self::Client(ClientStep { task: Task::S3(_) | Task::Http(_), .. })
            | Self::Dns(_)
            | Self::Tls(_)
            | Self::Http(_)
            | Self::S3(_)
            | Self::Sts(_)
            | Self::Jwt(_)
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
            | Self::Figures(_) => Special::Nothing,
        }
    }

    /// What signs a URL or a form, and its key below the step: the step itself, or the client that it runs.
    pub fn signing(&self) -> Option<(&'static str, &PresignStep)> {
        if let Special::Signs(key, it) = self.special() { Some((key, it)) } else { None }
    }

    /// Whether one try of it waits until what it looks for comes.
    pub fn follows(&self) -> bool {
        matches!(self.special(), Special::Log | Special::Events(_))
    }

    /// The look at events, if it is one.
    pub fn events(&self) -> Option<&EventStep> {
        if let Special::Events(it) = self.special() { Some(it) } else { None }
    }

    /// The program that it runs, whose effects are not known.
    pub fn program(&self) -> Option<&ScriptStep> {
        if let Special::Program(it) = self.special() { Some(it) } else { None }
    }
}
