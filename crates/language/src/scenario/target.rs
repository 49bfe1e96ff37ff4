//! What `log` and `event` steps name: `deployment/minio`, `Pod/app=minio`.

/// Whose log is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// Every pod of a Deployment.
    Deployment(String),
    /// Every pod of a `StatefulSet`.
    StatefulSet(String),
    /// One pod.
    Pod(String),
    /// The container that a fixture put beside the cluster.
    Beside(String),
}

/// The word for the name server of the run's own outside world, which writes down each question.
pub const WORLD: &str = "world";

/// How a log's owner is written.
const LOG_FORM: &str = "write `deployment/NAME`, `stateful-set/NAME`, `pod/NAME`, `beside/FIXTURE` for a container beside the cluster, or `world`";
/// How an object with events is written.
const EVENT_FORM: &str =
    "write kind and name as Kubernetes does, `Deployment/minio`, or kind and labels, `Pod/app=minio`";

impl LogTarget {
    /// Reads it.
    ///
    /// # Errors
    ///
    /// The fix, where it is no such thing.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (kind, name) = parts(text).ok_or_else(|| LOG_FORM.to_owned())?;
        match kind {
            "deployment" => Ok(Self::Deployment(name.to_owned())),
            "stateful-set" => Ok(Self::StatefulSet(name.to_owned())),
            "pod" => Ok(Self::Pod(name.to_owned())),
            "beside" => Ok(Self::Beside(name.to_owned())),
            _ => Err(LOG_FORM.to_owned()),
        }
    }

    /// In words, with the namespace it is in.
    pub fn describe(&self, namespace: &str) -> String {
        let (kind, name) = match self {
            Self::Deployment(name) => ("Deployment", name),
            Self::StatefulSet(name) => ("StatefulSet", name),
            Self::Pod(name) => ("Pod", name),
            Self::Beside(name) => return format!("the container of {name} beside the cluster"),
        };
        format!("{kind} {name} in namespace {namespace}")
    }
}

/// The object, or the objects, of which events are looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventTarget {
    /// `Pod`, `Deployment`, …
    pub kind: String,
    /// Which of them.
    pub which: Which,
}

/// One by name, or all that have labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// Its name.
    Name(String),
    /// `app=minio`.
    Labels(String),
}

impl EventTarget {
    /// Reads it.
    ///
    /// # Errors
    ///
    /// The fix, where it is no such thing.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (kind, which) = parts(text).ok_or_else(|| EVENT_FORM.to_owned())?;
        if !kind.starts_with(|c: char| c.is_ascii_uppercase()) || !kind.chars().all(|c| c.is_ascii_alphanumeric()) {
            return Err(EVENT_FORM.to_owned());
        }
        Ok(Self { kind: kind.to_owned(), which: Which::parse(which) })
    }

    /// In words, with the namespace it is in.
    pub fn describe(&self, namespace: &str) -> String {
        match &self.which {
            Which::Name(name) => format!("{} {name} in namespace {namespace}", self.kind),
            Which::Labels(labels) => format!("{} with {labels} in namespace {namespace}", self.kind),
        }
    }
}

impl Which {
    /// No name of Kubernetes holds an equals sign; every selector that selects by value does.
    pub fn parse(text: &str) -> Self {
        if text.contains('=') { Self::Labels(text.to_owned()) } else { Self::Name(text.to_owned()) }
    }

    /// The name, where it is one.
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
    // A label's key may hold a slash, a name may not.
    (sound && (name.contains('=') || !name.contains('/'))).then_some((kind, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_or_refused() {
        for (text, expected) in [
            ("deployment/minio", Some(LogTarget::Deployment("minio".to_owned()))),
            ("stateful-set/db", Some(LogTarget::StatefulSet("db".to_owned()))),
            ("pod/db-0", Some(LogTarget::Pod("db-0".to_owned()))),
            ("beside/store", Some(LogTarget::Beside("store".to_owned()))),
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
}
