//! The role of an action: which part of the harness executes it, and what the other modules need to know about it. Each
//! kind of step states these properties in its own module, so no other module needs a list of kinds.

use std::fmt;

use parallax_vocab::Probe;

use super::asking::Asking;
use super::http::ClientCertificate;
use super::{Action, Changing, Directing, EventStep, Looking, PresignStep, ScriptStep, TokenSpec};
use crate::scenario::duration::Span;
use crate::scenario::model::{ProberOf, TokenOf};
use crate::scenario::target::Which;
use crate::scenario::template::{Template, Tree, Words};

/// The role of an action. Each role comes with the properties that the kind states, and with the action itself.
#[derive(Clone, Copy, Debug)]
pub enum Role<'a> {
    /// The action asks a vantage.
    Asks(&'a dyn Asks),
    /// The action reads from the cluster, without a vantage.
    Looks(&'a dyn Looks, Looking<'a>),
    /// The action changes the environment.
    Changes(&'a dyn Alters, Changing<'a>),
    /// The action controls the flow.
    Directs(&'a dyn Directs, Directing<'a>),
}

/// A kind of step that asks a vantage.
pub trait Asks: fmt::Debug + Sync {
    /// The question, with every reference replaced by its value.
    ///
    /// # Errors
    /// Returns a message that says why the question cannot be asked.
    fn question(&self, words: &Words<'_>, asking: &dyn Asking) -> Result<Probe, String>;

    /// The properties of the step in which kinds that ask a vantage differ.
    fn special(&self) -> Special<'_>;
}

/// The properties in which kinds that ask a vantage differ. All fields are required, so that each kind states all of
/// them.
#[derive(Debug)]
pub struct Special<'a> {
    /// The id of the store's fixture, if the step gives one.
    pub store: Option<&'a str>,
    /// The token that the harness creates for the step.
    pub token: Option<&'a TokenSpec>,
    /// The earlier step whose token this step uses.
    pub token_of: Option<&'a TokenOf>,
    /// The owner of the certificate that the client presents, if the server asks for a client certificate.
    pub presents: Option<ClientCertificate>,
    /// The signing of a URL or a form, with its key below the step. The step itself may sign, or the client that it
    /// runs.
    pub signs: Option<(&'static str, &'a PresignStep)>,
    /// The program that the step runs. The effects of the program are not known.
    pub program: Option<&'a ScriptStep>,
    /// The program that the step runs at the vantage, with its arguments as they are written, or the name of a client.
    pub runs: Option<Vec<String>>,
}

/// A kind of step that reads from the cluster.
pub trait Looks: fmt::Debug + Sync {
    /// Whether one try of the step waits until the expected content appears.
    fn follows(&self) -> bool;

    /// The step as an `event` step; `None` for other kinds.
    fn events(&self) -> Option<&EventStep>;
}

/// A kind of step that changes the environment.
pub trait Alters: fmt::Debug + Sync {
    /// Returns what the step changes, and the time limit of the change.
    fn reach(&self) -> Reach<'_>;
}

/// A kind of step that controls the flow.
pub trait Directs: fmt::Debug + Sync {
    /// The question that the step starts to repeat; `None` if the step does not start a prober.
    fn starts(&self) -> Option<&dyn Asks>;

    /// The step that started the prober whose answers this step counts; `None` if this step does not count.
    fn counts(&self) -> Option<&ProberOf>;
}

/// The reach of a step: everything that it may change. All fields are required, so that each kind also says what it
/// does not change.
#[derive(Debug)]
pub struct Reach<'a> {
    /// The objects that the step changes.
    pub touched: Vec<Touched>,
    /// The node that the step stops or starts.
    pub node: Option<&'a Template>,
    /// The container outside the cluster that the step stops or starts, with its fixture: `store.minio`.
    pub beside: Option<&'a str>,
    /// Whether the step starts the node or the container. From then on, its end is unexpected.
    pub starts: bool,
    /// Whether the step ends only when its effect is complete. If so, the pods that it touched must not end later. If
    /// the step does not wait, its effect may end a pod at any later time.
    pub waits: bool,
    /// The objects that the step applies.
    pub applied: &'a [Tree],
    /// The time limit that the step sets, if it sets one.
    pub within: Option<Span>,
}

/// An object that a step changes. The change may end pods of the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touched {
    /// The namespace of the object; `None` means the variant's namespace.
    pub namespace: Option<String>,
    /// The kind of the object, for example `Deployment`.
    pub kind: String,
    /// The name of the object, or the labels that select it.
    pub which: Which,
}

impl Touched {
    /// An object that is selected by its name.
    pub(super) fn named(namespace: Option<&Template>, kind: &str, name: &str) -> Self {
        Self {
            namespace: namespace.map(ToString::to_string),
            kind: kind.to_owned(),
            which: Which::Name(name.to_owned()),
        }
    }

    /// A pod, by its name or by labels.
    pub(super) fn pod(namespace: Option<&Template>, pod: &str) -> Self {
        Self { which: Which::parse(pod), ..Self::named(namespace, "Pod", pod) }
    }
}

impl Special<'_> {
    /// The properties of a step that does not ask a vantage.
    const NONE: Self =
        Self { store: None, token: None, token_of: None, presents: None, signs: None, program: None, runs: None };
}

impl Action {
    /// The properties of an action that asks a vantage; `None` for other actions.
    pub fn asks(&self) -> Option<&dyn Asks> {
        if let Role::Asks(it) = self.role() { Some(it) } else { None }
    }

    /// The properties of an action that reads from the cluster; `None` for other actions.
    pub fn looks(&self) -> Option<&dyn Looks> {
        if let Role::Looks(it, _) = self.role() { Some(it) } else { None }
    }

    /// The properties of an action that changes the environment; `None` for other actions.
    pub fn changes(&self) -> Option<&dyn Alters> {
        if let Role::Changes(it, _) = self.role() { Some(it) } else { None }
    }

    /// The properties of an action that controls the flow; `None` for other actions.
    pub fn directs(&self) -> Option<&dyn Directs> {
        if let Role::Directs(it, _) = self.role() { Some(it) } else { None }
    }

    /// The question that the action starts to repeat; `None` if the action does not start a prober.
    pub fn starts_prober(&self) -> Option<&dyn Asks> {
        self.directs()?.starts()
    }

    /// The step that started the prober whose answers this action counts; `None` if the action does not count.
    pub fn counts(&self) -> Option<&ProberOf> {
        self.directs()?.counts()
    }

    /// The special properties of an action that asks a vantage, directly or through a prober. Other actions have none.
    pub fn special(&self) -> Special<'_> {
        match self.role() {
            Role::Asks(it) => it.special(),
            Role::Directs(it, _) => it.starts().map_or(Special::NONE, Asks::special),
            Role::Looks(..) | Role::Changes(..) => Special::NONE,
        }
    }

    /// The objects that the action applies.
    pub fn applied(&self) -> &[Tree] {
        self.changes().map_or(&[], |it| it.reach().applied)
    }
}
