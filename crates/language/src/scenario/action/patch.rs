//! `patch`: changes fields of a Kubernetes object.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::nature::AT_ONCE_MS;
use super::{Alters, Kinded, Nature, OneOf, Reach, Rules, Touched, Wrong, written_as};
use crate::scenario::diagnostic::{Diagnostic, list, suggest};
use crate::scenario::meaning::Judge;
use crate::scenario::parts::{Parts, See, below, no_parts, parts};
use crate::scenario::template::{Template, Tree, Words};

/// Change fields of one Kubernetes object, with `merge` or with `json`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "PatchStep")]
struct PatchFile {
    /// The API version of the object, for example `v1` or `apps/v1`.
    api_version: Template,
    /// The kind of the object, for example `Secret` or `Deployment`.
    kind: Template,
    /// The name of the object.
    name: Template,
    /// The namespace of the object. The default is the variant's namespace.
    #[serde(default)]
    namespace: Option<Template>,
    /// The subresource that is changed, for example `status`. Without this key, the object itself is changed, and the
    /// API server ignores changes to its subresources.
    #[serde(default)]
    subresource: Option<Subresource>,
    /// A JSON merge patch (RFC 7396) with the fields to change. `null` removes a field. A list replaces the whole list.
    #[serde(default)]
    merge: Option<Tree>,
    /// A JSON patch (RFC 6902): `[{ op: replace, path: /spec/replicas, value: 2 }]`.
    #[serde(default)]
    json: Option<Vec<Tree>>,
}

/// Changes fields of one Kubernetes object.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "PatchFile")]
pub struct PatchStep {
    /// The API version of the object, for example `v1` or `apps/v1`.
    pub api_version: Template,
    /// The kind of the object, for example `Secret` or `Deployment`.
    pub kind: Template,
    /// The name of the object.
    pub name: Template,
    /// The namespace of the object. The default is the variant's namespace.
    pub namespace: Option<Template>,
    /// The subresource of the object to change. `None` means the object itself without its subresources.
    pub subresource: Option<Subresource>,
    /// The changes to the object.
    pub changes: Changes,
}

/// A part of an object that Kubernetes changes only by a request of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Subresource {
    /// The subresource `status`, which controllers write.
    Status,
}

impl Subresource {
    /// The name of the subresource in the URL of the request.
    pub fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
        }
    }
}

/// The changes of a patch, in one of two formats.
#[derive(Clone, Debug, PartialEq)]
pub enum Changes {
    /// A JSON merge patch (RFC 7396): a part of the object with the new values.
    Merge(Tree),
    /// A JSON patch (RFC 6902): a list of operations.
    Json(Vec<Tree>),
}

/// The operations of a JSON patch (RFC 6902), each with whether it takes a value.
const OPERATIONS: [(&str, bool); 6] =
    [("add", true), ("remove", false), ("replace", true), ("move", false), ("copy", false), ("test", true)];

written_as!(PatchStep, PatchFile);
no_parts!(Subresource);
parts!(PatchStep { api_version, kind, name, namespace, subresource, changes as "" });

impl Parts for Changes {
    fn see<'p>(&'p self, at: &mut String, to: &mut See<'_, 'p>) {
        match self {
            Self::Merge(it) => below(at, "merge", |at| it.see(at, to)),
            Self::Json(it) => below(at, "json", |at| it.see(at, to)),
        }
    }

    fn filled(&self, words: &Words<'_>) -> Result<Self, String> {
        Ok(match self {
            Self::Merge(it) => Self::Merge(it.filled(words)?),
            Self::Json(it) => Self::Json(it.filled(words)?),
        })
    }
}

impl TryFrom<PatchFile> for PatchStep {
    type Error = String;

    fn try_from(file: PatchFile) -> Result<Self, String> {
        let PatchFile { api_version, kind, name, namespace, subresource, merge, json } = file;
        let changes = merge.map(Changes::Merge).or(json.map(Changes::Json)).ok_or("`patch` has no change")?;
        Ok(Self { api_version, kind, name, namespace, subresource, changes })
    }
}

impl Kinded for PatchStep {
    const NATURE: Nature = Nature::act();
    const TYPICAL_MS: u64 = AT_ONCE_MS;
    const ONE_OF: &'static [OneOf] = &[OneOf {
        of: "PatchStep",
        what: "change",
        keys: &["merge", "json"],
        none: |_, _| {
            let fix = "add `merge:` (the fields to change) or `json:` (a list of operations)";
            Wrong::key("", "`patch` has no change".to_owned(), fix)
        },
        two: |_, _, second| {
            let message = "`patch` has both `merge` and `json`".to_owned();
            Wrong::key(&format!("/{second}"), message, "split it into two steps")
        },
    }];
}

impl Alters for PatchStep {
    fn reach(&self) -> Reach<'_> {
        let touched = vec![Touched::named(self.namespace.as_ref(), &self.kind, &self.name)];
        Reach { touched, node: None, beside: None, starts: false, waits: false, applied: &[], within: None }
    }
}

impl Rules for PatchStep {
    fn check(&self, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        match &self.changes {
            Changes::Merge(merge) => {
                if merge.value().as_object().is_none_or(serde_json::Map::is_empty) {
                    let error = judge.key_error("/patch/merge", "`merge` has no field".to_owned());
                    let fix = "write the fields to change, for example `merge: { spec: { replicas: 2 } }`";
                    errors.push(error.fix(fix));
                }
            }
            Changes::Json(operations) => {
                if operations.is_empty() {
                    let error = judge.key_error("/patch/json", "`json` has no operations".to_owned());
                    errors.push(error.fix("write `[{ op: replace, path: /spec/replicas, value: 2 }]`"));
                }
                for (index, it) in operations.iter().enumerate() {
                    operation(&format!("/patch/json/{index}"), it.value(), judge, errors);
                }
            }
        }
    }
}

fn operation(at: &str, operation: &Value, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
    let names = OPERATIONS.map(|(name, _)| name);
    let Some(op) = operation["op"].as_str() else {
        let error = judge.key_error(at, "the operation has no `op`".to_owned());
        errors.push(error.fix(format!("add `op:` with one of {}", list(&names))));
        return;
    };
    let Some((_, takes_value)) = OPERATIONS.iter().find(|(name, _)| *name == op) else {
        let error = judge.error(&format!("{at}/op"), format!("there is no operation `{op}`"));
        errors.push(error.fix(suggest(op, names, "operations")));
        return;
    };
    match operation["path"].as_str() {
        Some(path) if path.starts_with('/') => {}
        Some(path) => {
            let error = judge.error(&format!("{at}/path"), format!("`{path}` is not a JSON pointer"));
            errors.push(error.fix("write a JSON pointer, for example `/spec/replicas`"));
        }
        None => {
            let error = judge.key_error(at, format!("the operation `{op}` has no `path`"));
            errors.push(error.fix("add `path:` with a JSON pointer, for example `/spec/replicas`"));
        }
    }
    if *takes_value && operation.get("value").is_none() {
        errors.push(judge.key_error(at, format!("the operation `{op}` has no `value`")).fix("add `value:`"));
    }
    if matches!(op, "move" | "copy") && !operation["from"].is_string() {
        let error = judge.key_error(at, format!("the operation `{op}` has no `from`"));
        errors.push(error.fix("add `from:` with a JSON pointer"));
    }
}
