//! The role of an action. The role says which part of the harness executes the action, and what the other modules need
//! to know about the action. Each kind of step states these facts in its own module, so no other module needs a list of
//! kinds.

use std::fmt;

use parallax_vocab::Probe;

use super::asking::Asking;
use super::http::ClientCertificate;
use super::{Action, Changing, Directing, EventStep, Looking, PresignStep, ScriptStep, Signer, TokenSpec};
use crate::scenario::duration::Span;
use crate::scenario::model::{ProberOf, TokenOf};
use crate::scenario::target::Which;
use crate::scenario::template::{Template, Tree, Words};

/// The role of an action. Each role except `Asks` also contains the action itself, for the part of the harness that
/// executes it.
#[derive(Clone, Copy, Debug)]
pub enum Role<'a> {
    /// The action asks a question at a vantage, for example `http`.
    Asks(&'a dyn Asks),
    /// The action reads from the cluster without a vantage.
    Looks(&'a dyn Looks, Looking<'a>),
    /// The action changes the environment.
    Changes(&'a dyn Alters, Changing<'a>),
    /// The action controls the flow, for example by starting a prober.
    Directs(&'a dyn Directs, Directing<'a>),
}

/// A kind of step that asks a question at a vantage, the place from which the question is sent.
pub trait Asks: fmt::Debug + Sync {
    /// Returns the question to ask, with every template reference replaced by its value.
    ///
    /// # Errors
    /// Returns a message that says why the question cannot be asked.
    fn question(&self, words: &Words<'_>, asking: &dyn Asking) -> Result<Probe, String>;

    /// Returns the properties in which the kinds of step that ask a question at a vantage differ.
    fn special(&self) -> Special<'_>;
}

/// The properties in which the kinds of step that ask a question at a vantage differ. All fields are required, so that
/// each kind states all of them.
#[derive(Debug)]
pub struct Special<'a> {
    /// The id of the store's fixture. `None` if the step names no store.
    pub store: Option<&'a str>,
    /// The token that the harness creates for the step. `None` if the harness creates none.
    pub token: Option<&'a TokenSpec>,
    /// The earlier step whose token this step uses. `None` if this step uses no earlier token.
    pub token_of: Option<&'a TokenOf>,
    /// The identity whose client certificate the request presents to a server that asks for a certificate. `None` if
    /// the request presents no certificate.
    pub presents: Option<ClientCertificate>,
    /// The description of the URL or form that the step signs, or that the client of the step signs. The text is the
    /// path of this description within the step: `presign` or `client/presign`.
    pub signs: Option<(&'static str, &'a PresignStep)>,
    /// The program that a `script` step runs. The harness does not know what the program changes. `None` for other
    /// kinds.
    pub program: Option<&'a ScriptStep>,
    /// The command that the step runs at the vantage: a program with its arguments as they are written, or the name of
    /// a client. `None` if the step runs no program.
    pub runs: Option<Vec<String>>,
}

/// The thing that a step needs to end a single process, in words for messages. Only the owner of a cluster can use the
/// container runtime of the cluster's nodes.
pub(super) const RUNTIME: &str = "the container runtime of a node";

/// A kind of step that reads from the cluster.
pub trait Looks: fmt::Debug + Sync {
    /// Whether the step, in a single try, can wait until the expected content appears.
    fn follows(&self) -> bool;

    /// Returns this step if it is an `event` step; `None` for other kinds.
    fn events(&self) -> Option<&EventStep>;

    /// Returns words for the thing that the step reads, if only the owner of the cluster can read this thing. `None` if
    /// every user of the cluster can get the right to read it.
    fn owners(&self) -> Option<&'static str> {
        None
    }
}

/// A kind of step that changes the environment.
pub trait Alters: fmt::Debug + Sync {
    /// Returns what the step may change, and the time limit of the change.
    fn reach(&self) -> Reach<'_>;

    /// Returns words for the thing that the step needs, if only the owner of the cluster has this thing. `None` if
    /// every user of the cluster can get the right to carry out the step. Do not return a node or a container outside
    /// the cluster here: [`Alters::reach`] returns it.
    fn owners(&self) -> Option<&'static str> {
        None
    }
}

/// A kind of step that controls the flow.
pub trait Directs: fmt::Debug + Sync {
    /// Returns the question that the step's prober repeats; `None` if the step starts no prober.
    fn starts(&self) -> Option<&dyn Asks>;

    /// Returns the step that started the prober whose answers this step counts; `None` if this step counts no answers.
    fn counts(&self) -> Option<&ProberOf>;
}

/// The reach of a step: everything that the step may change. All fields are required, so that each kind of step also
/// says what it does not change.
#[derive(Debug)]
pub struct Reach<'a> {
    /// The objects that the step changes.
    pub touched: Vec<Touched>,
    /// The node that the step stops or starts. `None` if there is none.
    pub node: Option<&'a Template>,
    /// The container outside the cluster that the step stops or starts, as `FIXTURE.CONTAINER`: `store.minio`. `None`
    /// if there is none.
    pub beside: Option<&'a str>,
    /// `true` if the step starts the node in `node` or the container in `beside`, and `false` if the step stops this
    /// node or container. After a start, the harness again treats an end of this node or container as unexpected.
    pub starts: bool,
    /// Whether the step waits until its effect is complete. If so, pods of the touched objects must not end after the
    /// step. If the step does not wait, its effect may end a pod at any later time.
    pub waits: bool,
    /// The objects that the step applies.
    pub applied: &'a [Tree],
    /// The time limit that the step sets. `None` means the default of 3m.
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
    /// Returns an object that is selected by its name. `namespace` is the object's namespace; `None` means the
    /// variant's namespace.
    pub(super) fn named(namespace: Option<&Template>, kind: &str, name: &str) -> Self {
        Self {
            namespace: namespace.map(ToString::to_string),
            kind: kind.to_owned(),
            which: Which::Name(name.to_owned()),
        }
    }

    /// A pod that is selected by its name or by labels.
    pub(super) fn pod(namespace: Option<&Template>, pod: &str) -> Self {
        Self { which: Which::parse(pod), ..Self::named(namespace, "Pod", pod) }
    }
}

impl Special<'_> {
    /// The properties of a step that asks no question at a vantage.
    const NONE: Self =
        Self { store: None, token: None, token_of: None, presents: None, signs: None, program: None, runs: None };
}

impl Action {
    /// Returns the action if it asks a question at a vantage; `None` for other actions.
    pub fn asks(&self) -> Option<&dyn Asks> {
        if let Role::Asks(it) = self.role() { Some(it) } else { None }
    }

    /// Returns the action if it reads from the cluster; `None` for other actions.
    pub fn looks(&self) -> Option<&dyn Looks> {
        if let Role::Looks(it, _) = self.role() { Some(it) } else { None }
    }

    /// Returns the action if it changes the environment; `None` for other actions.
    pub fn changes(&self) -> Option<&dyn Alters> {
        if let Role::Changes(it, _) = self.role() { Some(it) } else { None }
    }

    /// Returns the action if it controls the flow; `None` for other actions.
    pub fn directs(&self) -> Option<&dyn Directs> {
        if let Role::Directs(it, _) = self.role() { Some(it) } else { None }
    }

    /// Returns the question that the action's prober repeats; `None` if the action starts no prober.
    pub fn starts_prober(&self) -> Option<&dyn Asks> {
        self.directs()?.starts()
    }

    /// Returns the step that started the prober whose answers this action counts; `None` if the action counts no
    /// answers.
    pub fn counts(&self) -> Option<&ProberOf> {
        self.directs()?.counts()
    }

    /// Returns the special properties of an action that asks a question at a vantage, itself or through a prober. For
    /// other actions, all fields are `None`.
    pub fn special(&self) -> Special<'_> {
        match self.role() {
            Role::Asks(it) => it.special(),
            Role::Directs(it, _) => it.starts().map_or(Special::NONE, Asks::special),
            Role::Looks(..) | Role::Changes(..) => Special::NONE,
        }
    }

    /// Returns words for the thing that the action needs, if only the owner of the cluster has this thing. `None` if
    /// every user of the cluster can get the right to carry out the action.
    pub fn owners(&self) -> Option<&'static str> {
        if let Role::Looks(it, _) = self.role() {
            return it.owners();
        }
        if let Some(it) = self.changes() {
            let reach = it.reach();
            let beside = reach.beside.map(|_| "a container outside the cluster");
            return reach.node.map(|_| "a node").or(beside).or_else(|| it.owners());
        }
        let special = self.special();
        let signs = special.token.is_some_and(|it| it.issuer.is_none() && it.signer == Some(Signer::Cluster));
        let key = signs.then_some("the key that signs the cluster's tokens");
        key.or_else(|| special.presents.map(|_| "the certificate of the cluster's administrator"))
    }

    /// The objects that the action applies. Only an `apply` step applies objects.
    pub fn applied(&self) -> &[Tree] {
        self.changes().map_or(&[], |it| it.reach().applied)
    }
}
