//! The targets of `log` and `event` steps, such as `deployment/minio` and `Pod/app=minio`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer};

use super::parts::{Parts, See};
use super::template::{Template, Words};

/// What a `log` or an `event` step reads from. A scenario writes the target as one text.
pub trait Target: Clone + Sized {
    /// Parses the text of a target.
    ///
    /// # Errors
    ///
    /// If the text is not a target. The error is a text that says how to fix the target.
    fn parse(text: &str) -> Result<Self, String>;
}

/// The target of a step. It is parsed when the scenario is loaded, unless its text contains references.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aimed<T> {
    text: Template,
    /// The parsed target, or a text that says how to fix the target. `None` if the text contains references, because
    /// their values are not known yet.
    written: Option<Result<T, String>>,
}

impl<T: Target> Aimed<T> {
    /// The text of the target as it is written.
    pub fn text(&self) -> &Template {
        &self.text
    }

    /// Returns the parsed target. `None` if the text contains references.
    ///
    /// # Errors
    ///
    /// If the text is not a target. The error is a text that says how to fix the target.
    pub fn written(&self) -> Option<&Result<T, String>> {
        self.written.as_ref()
    }

    /// Returns the target with every reference replaced by its value.
    ///
    /// # Errors
    ///
    /// If a reference has no value, or if the text with its values is not a target.
    pub fn target(&self, words: &Words<'_>) -> Result<T, String> {
        self.written.clone().unwrap_or_else(|| {
            let text = self.text.filled(words)?;
            T::parse(&text).map_err(|fix| format!("`{text}` is not a valid target: {fix}"))
        })
    }
}

impl<T: Target> From<Template> for Aimed<T> {
    fn from(text: Template) -> Self {
        let written = (!text.is_open()).then(|| T::parse(&text));
        Self { text, written }
    }
}

impl<T: Target> Parts for Aimed<T> {
    fn see<'p>(&'p self, at: &mut String, to: &mut See<'_, 'p>) {
        self.text.see(at, to);
    }

    fn filled(&self, words: &Words<'_>) -> Result<Self, String> {
        Ok(Self { text: self.text.filled(words)?, written: Some(Ok(self.target(words)?)) })
    }
}

impl<'de, T: Target> Deserialize<'de> for Aimed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Template::deserialize(deserializer).map(Self::from)
    }
}

impl<T> JsonSchema for Aimed<T> {
    fn inline_schema() -> bool {
        Template::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        Template::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Template::json_schema(generator)
    }
}

/// The target of a `log` step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// The log of every pod of the Deployment with this name.
    Deployment(String),
    /// The log of every pod of the `StatefulSet` with this name.
    StatefulSet(String),
    /// The log of the pod with this name.
    Pod(String),
    /// The log of the container that the fixture with this id runs outside the cluster.
    Beside(String),
    /// The log of the cluster's node with this name.
    Node(String),
    /// The log of the name server outside the cluster, which has a line for each DNS question.
    World,
}

/// The word that stands for the name server outside the cluster in scenarios.
const WORLD: &str = "world";

/// The fix that is reported for an invalid target of a `log` step.
const LOG_FORM: &str = "write `deployment/NAME`, `stateful-set/NAME`, `pod/NAME`, `beside/FIXTURE` for a container outside the cluster, `node/NAME` for a node, or `world`";
/// The fix that is reported for an invalid target of an `event` step.
const EVENT_FORM: &str = "write kind and name, `Deployment/minio`, or kind and labels, `Pod/app=minio`";

impl Target for LogTarget {
    fn parse(text: &str) -> Result<Self, String> {
        if text == WORLD {
            return Ok(Self::World);
        }
        let (kind, name) = parts(text).ok_or_else(|| LOG_FORM.to_owned())?;
        match kind {
            "deployment" => Ok(Self::Deployment(name.to_owned())),
            "stateful-set" => Ok(Self::StatefulSet(name.to_owned())),
            "pod" => Ok(Self::Pod(name.to_owned())),
            "beside" => Ok(Self::Beside(name.to_owned())),
            "node" => Ok(Self::Node(name.to_owned())),
            _ => Err(LOG_FORM.to_owned()),
        }
    }
}

impl LogTarget {
    /// Describes the target in words, with its namespace, for messages.
    pub fn describe(&self, namespace: &str) -> String {
        let (kind, name) = match self {
            Self::Deployment(name) => ("Deployment", name),
            Self::StatefulSet(name) => ("StatefulSet", name),
            Self::Pod(name) => ("Pod", name),
            Self::Node(name) => return format!("node {name}"),
            Self::World => return WORLD.to_owned(),
            Self::Beside(name) => return format!("the container of {name} outside the cluster"),
        };
        format!("{kind} {name} in namespace {namespace}")
    }
}

/// The target of an `event` step: one object, or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventTarget {
    /// The kind of the object, for example `Pod` or `Deployment`.
    pub kind: String,
    /// The name of one object, or the labels of several objects.
    pub which: Which,
}

/// One object by its name, or all objects with certain labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// The name of the object.
    Name(String),
    /// The labels that select the objects, such as `app=minio`.
    Labels(String),
}

impl Target for EventTarget {
    fn parse(text: &str) -> Result<Self, String> {
        let (kind, which) = parts(text).ok_or_else(|| EVENT_FORM.to_owned())?;
        if !kind.starts_with(|c: char| c.is_ascii_uppercase()) || !kind.chars().all(|c| c.is_ascii_alphanumeric()) {
            return Err(EVENT_FORM.to_owned());
        }
        Ok(Self { kind: kind.to_owned(), which: Which::parse(which) })
    }
}

impl EventTarget {
    /// Describes the target in words, with its namespace, for messages.
    pub fn describe(&self, namespace: &str) -> String {
        match &self.which {
            Which::Name(name) => format!("{} {name} in namespace {namespace}", self.kind),
            Which::Labels(labels) => format!("{} with {labels} in namespace {namespace}", self.kind),
        }
    }
}

impl Which {
    /// Parses a text as labels if it contains an equals sign, and as a name otherwise. Names in Kubernetes contain no
    /// equals sign, and every label selector with a value contains one.
    pub fn parse(text: &str) -> Self {
        if text.contains('=') { Self::Labels(text.to_owned()) } else { Self::Name(text.to_owned()) }
    }

    /// Returns the name; `None` if the target is selected by labels.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Labels(_) => None,
        }
    }
}

fn parts(text: &str) -> Option<(&str, &str)> {
    let (kind, name) = text.split_once('/')?;
    let sound = !name.is_empty() && !name.contains(char::is_whitespace);
    // The key of a label can contain a slash, but the name of an object cannot.
    (sound && (name.contains('=') || !name.contains('/'))).then_some((kind, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_parsed_or_refused() {
        for (text, expected) in [
            ("deployment/minio", Some(LogTarget::Deployment("minio".to_owned()))),
            ("stateful-set/db", Some(LogTarget::StatefulSet("db".to_owned()))),
            ("pod/db-0", Some(LogTarget::Pod("db-0".to_owned()))),
            ("beside/store", Some(LogTarget::Beside("store".to_owned()))),
            ("node/far", Some(LogTarget::Node("far".to_owned()))),
            ("world", Some(LogTarget::World)),
            ("world/", None),
            ("Deployment/minio", None),
            ("minio", None),
            ("pod/", None),
            ("pod/a b", None),
            ("pod/a/b", None),
        ] {
            assert_eq!(LogTarget::parse(text).ok(), expected, "{text}");
        }
        for (text, expected) in [
            ("Pod/a", Some(Which::Name("a".to_owned()))),
            ("Pod/example.org/app=minio", Some(Which::Labels("example.org/app=minio".to_owned()))),
            ("pod/a", None),
            ("Pod", None),
            ("Pod/a/b", None),
        ] {
            assert_eq!(EventTarget::parse(text).ok().map(|it| it.which), expected, "{text}");
        }
    }

    #[test]
    fn a_text_with_references_is_parsed_with_their_values() {
        let aimed = |text: &str| Aimed::<LogTarget>::from(Template::from(text));
        let target = |text: &str| aimed(text).target(&|_| Ok("minio".to_owned()));
        assert_eq!(aimed("pod/db-0").written(), Some(&Ok(LogTarget::Pod("db-0".to_owned()))));
        assert_eq!(aimed("node/{{store.service}}").written(), None);
        assert_eq!(target("node/{{store.service}}"), Ok(LogTarget::Node("minio".to_owned())));
        let wrong = target("{{ store.service }}").expect_err("no kind");
        assert!(wrong.starts_with("`minio` is not a valid target: write `deployment/NAME`"), "{wrong}");
    }
}
