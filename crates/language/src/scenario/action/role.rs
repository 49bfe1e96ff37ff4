//! The role of an action: who carries it out, and what the other rooms need to know about it. A kind states these facts
//! in its own module; no other room decides by kind.

use std::fmt;

use parallax_vocab::Probe;

use super::asking::Asking;
use super::http::ClientCertificate;
use super::{Action, Changing, Directing, EventStep, Looking, PresignStep, ScriptStep, TokenSpec};
use crate::scenario::duration::Span;
use crate::scenario::model::{ProberOf, TokenOf};
use crate::scenario::target::Which;
use crate::scenario::template::{Template, Tree, Words};

/// The role of an action, with the facts that its kind states and with the action itself.
#[derive(Clone, Copy, Debug)]
pub enum Role<'a> {
    /// It asks a vantage.
    Asks(&'a dyn Asks),
    /// It looks at the cluster, without a vantage.
    Looks(&'a dyn Looks, Looking<'a>),
    /// It changes the environment.
    Changes(&'a dyn Alters, Changing<'a>),
    /// It directs the flow.
    Directs(&'a dyn Directs, Directing<'a>),
}

/// A kind of step that asks a vantage.
pub trait Asks: fmt::Debug + Sync {
    /// The question, with every reference replaced.
    ///
    /// # Errors
    /// Says why the step cannot be asked.
    fn question(&self, words: &Words<'_>, asking: &dyn Asking) -> Result<Probe, String>;

    /// What is special about it.
    fn special(&self) -> Special<'_>;
}

/// What is special about a step that asks a vantage. All fields are required, so that each kind answers all of them.
#[derive(Debug)]
pub struct Special<'a> {
    /// The id of the store's fixture, if the step gives one.
    pub store: Option<&'a str>,
    /// The token that the harness creates for it.
    pub token: Option<&'a TokenSpec>,
    /// The earlier step whose token it uses.
    pub token_of: Option<&'a TokenOf>,
    /// Whose certificate is presented to a server that asks for one.
    pub presents: Option<ClientCertificate>,
    /// What signs a URL or a form, and its key below the step: the step itself, or the client that it runs.
    pub signs: Option<(&'static str, &'a PresignStep)>,
    /// The program that it runs, whose effects are not known.
    pub program: Option<&'a ScriptStep>,
    /// The program that it runs at the vantage, with its arguments as they are written, or the name of a client.
    pub runs: Option<Vec<String>>,
}

/// A kind of step that looks at the cluster.
pub trait Looks: fmt::Debug + Sync {
    /// Whether one try of it waits until what it looks for comes.
    fn follows(&self) -> bool;

    /// The look at events, if it is one.
    fn events(&self) -> Option<&EventStep>;
}

/// A kind of step that changes the environment.
pub trait Alters: fmt::Debug + Sync {
    /// What it changes, and how long it may take.
    fn reach(&self) -> Reach<'_>;
}

/// A kind of step that directs the flow.
pub trait Directs: fmt::Debug + Sync {
    /// The question that it starts to repeat, if it starts a prober.
    fn starts(&self) -> Option<&dyn Asks>;

    /// The step that started the prober whose answers it counts.
    fn counts(&self) -> Option<&ProberOf>;
}

/// What a step changes. All fields are required, so that each kind says what it leaves alone.
#[derive(Debug)]
pub struct Reach<'a> {
    /// The objects that it changes.
    pub touched: Vec<Touched>,
    /// The node that it ends or starts.
    pub node: Option<&'a Template>,
    /// The fixture and its container outside the cluster that it ends or starts: `store.minio`.
    pub beside: Option<&'a str>,
    /// Whether it starts the node or the container, so that they must run from then on.
    pub starts: bool,
    /// Whether the step ends only when its effect is complete. Then the pods that it touched must live from then on. The
    /// effect of a step that does not wait may end a pod at any time.
    pub waits: bool,
    /// The objects that it applies.
    pub applied: &'a [Tree],
    /// The time limit that the step sets, if it sets one.
    pub within: Option<Span>,
}

/// An object that a step changes. Its pods may end because of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touched {
    /// Its namespace; the variant's if it is absent.
    pub namespace: Option<String>,
    /// Its kind, for example `Deployment`.
    pub kind: String,
    /// Its name, or the labels by which it is selected.
    pub which: Which,
}

impl Touched {
    /// An object that is named.
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
    /// Of a step that asks no vantage.
    const NONE: Self =
        Self { store: None, token: None, token_of: None, presents: None, signs: None, program: None, runs: None };
}

impl Action {
    /// The facts of an action that asks a vantage.
    pub fn asks(&self) -> Option<&dyn Asks> {
        if let Role::Asks(it) = self.role() { Some(it) } else { None }
    }

    /// The facts of an action that looks at the cluster.
    pub fn looks(&self) -> Option<&dyn Looks> {
        if let Role::Looks(it, _) = self.role() { Some(it) } else { None }
    }

    /// The facts of an action that changes the environment.
    pub fn changes(&self) -> Option<&dyn Alters> {
        if let Role::Changes(it, _) = self.role() { Some(it) } else { None }
    }

    /// The facts of an action that directs the flow.
    pub fn directs(&self) -> Option<&dyn Directs> {
        if let Role::Directs(it, _) = self.role() { Some(it) } else { None }
    }

    /// The question that it starts to repeat, if it starts a prober.
    pub fn starts_prober(&self) -> Option<&dyn Asks> {
        self.directs()?.starts()
    }

    /// The step that started the prober whose answers it counts.
    pub fn counts(&self) -> Option<&ProberOf> {
        self.directs()?.counts()
    }

    /// What is special about an action that asks a vantage, once or again and again; nothing for others.
    pub fn special(&self) -> Special<'_> {
        match self.role() {
            Role::Asks(it) => it.special(),
            Role::Directs(it, _) => it.starts().map_or(Special::NONE, Asks::special),
            Role::Looks(..) | Role::Changes(..) => Special::NONE,
        }
    }

    /// The objects that it applies.
    pub fn applied(&self) -> &[Tree] {
        self.changes().map_or(&[], |it| it.reach().applied)
    }
}
