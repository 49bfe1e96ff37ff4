//! Keeps the values that differ each time the objects of a chart are made, such as random passwords. Otherwise each edit
//! of a chart would replace a password, and programs that know the former one would fail.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parallax_language::fixture::{Contributions, Object};
use serde_json::Value;

/// Gives the values that differ between `made` and `again`, which were made of the same files, what they are in `old`.
/// Returns their names, for example `Secret app data.password`.
pub(super) fn keep(old: &Contributions, made: &mut Contributions, again: &Contributions) -> Vec<String> {
    let mut kept = Vec::new();
    for (old, made, again) in [
        (&old.objects, &mut made.objects, &again.objects),
        (&old.cluster_objects, &mut made.cluster_objects, &again.cluster_objects),
    ] {
        for object in made {
            let same = |all: &[Object]| all.iter().find(|it| id(it) == id(object)).map(|it| it.manifest.clone());
            if let (Some(old), Some(again)) = (same(old), same(again)) {
                let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let title =
                    format!("{} {}", word(&object.manifest["kind"]), word(&object.manifest["metadata"]["name"]));
                let mut steady = Steady { at: Vec::new(), kept: Vec::new(), is_secret: title.starts_with("Secret ") };
                steady.walk(&old, &mut object.manifest, &again);
                kept.extend(steady.kept.iter().map(|path| format!("{title} {path}")));
            }
        }
    }
    kept
}

/// What distinguishes an object from the others.
fn id(object: &Object) -> [&Value; 4] {
    let it = &object.manifest;
    [&it["apiVersion"], &it["kind"], &it["metadata"]["namespace"], &it["metadata"]["name"]]
}

/// A walk through an object that was made twice.
struct Steady {
    /// The keys from the object's root to the present value.
    at: Vec<String>,
    /// The paths of the values that were kept.
    kept: Vec<String>,
    /// Whether the object is a Secret, whose `data` is in base64.
    is_secret: bool,
}

impl Steady {
    /// Replaces each part of `new` that differs from `again` by the same part of `old`, if `old` has it.
    fn walk(&mut self, old: &Value, new: &mut Value, again: &Value) {
        match (new, again) {
            (new, again) if *new == *again => {}
            (Value::Object(new), Value::Object(again)) => {
                for (key, new) in new {
                    if let Some(again) = again.get(key) {
                        self.below(key, &old[key], new, again);
                    }
                }
            }
            (Value::Array(new), Value::Array(again)) if new.len() == again.len() => {
                for (index, new) in new.iter_mut().enumerate() {
                    // Entries with a name may change their places, or others may come before them.
                    let name = new["name"].as_str().map(str::to_owned);
                    let same = |all: &Value| match &name {
                        Some(name) => all.as_array()?.iter().find(|it| it["name"] == **name).cloned(),
                        None => all.get(index).cloned(),
                    };
                    let Some(again) = same(&Value::Array(again.clone())) else { continue };
                    self.below(
                        &name.clone().unwrap_or_else(|| index.to_string()),
                        &same(old).unwrap_or_default(),
                        new,
                        &again,
                    );
                }
            }
            (Value::String(new), Value::String(again)) if old.is_string() => {
                let old = old.as_str().unwrap_or_default();
                *new = if self.is_secret && self.at.first().is_some_and(|it| it == "data") {
                    decoded(old, new, again).map_or_else(|| old.to_owned(), |text| STANDARD.encode(text))
                } else {
                    lines(old, new, again)
                };
                self.kept.push(self.at.join("."));
            }
            (new, _) if !old.is_null() => {
                *new = old.clone();
                self.kept.push(self.at.join("."));
            }
            _ => {}
        }
    }

    fn below(&mut self, key: &str, old: &Value, new: &mut Value, again: &Value) {
        self.at.push(key.to_owned());
        self.walk(old, new, again);
        self.at.pop();
    }
}

/// The merged text of three texts in base64. `None` if one of them is no text.
fn decoded(old: &str, new: &str, again: &str) -> Option<String> {
    let text = |encoded: &str| String::from_utf8(STANDARD.decode(encoded).ok()?).ok();
    Some(lines(&text(old)?, &text(new)?, &text(again)?))
}

/// Keeps the lines of `old` in which `new` and `again` differ, and takes all other lines of `new`. If the texts do not
/// have equally many lines, it is not known which lines belong together, and the whole of `old` is kept.
fn lines(old: &str, new: &str, again: &str) -> String {
    let [old_lines, new_lines, again_lines] = [old, new, again].map(|it| it.split('\n').collect::<Vec<_>>());
    if old_lines.len() != new_lines.len() || new_lines.len() != again_lines.len() {
        return old.to_owned();
    }
    let merged = old_lines.iter().zip(&new_lines).zip(&again_lines);
    merged.map(|((old, new), again)| if new == again { *new } else { *old }).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn walked(is_secret: bool, old: &Value, mut new: Value, again: &Value) -> (Value, Vec<String>) {
        let mut steady = Steady { at: Vec::new(), kept: Vec::new(), is_secret };
        steady.walk(old, &mut new, again);
        (new, steady.kept)
    }

    #[test]
    fn a_value_that_each_rendering_changes_keeps_what_it_is() {
        let object = |password: &str, colour: &str, more: &[&str]| {
            let names = |it: &&str| json!({ "name": it, "value": format!("{it}-{password}") });
            json!({ "data": { "password": password, "colour": colour }, "list": more.iter().map(names).collect::<Vec<_>>() })
        };
        let old = object("p0", "blue", &["a", "b"]);
        // The new entry comes first, and has no former value.
        let after = ["n", "b", "a"];
        let (new, kept) = walked(false, &old, object("p1", "red", &after), &object("p2", "red", &after));
        let mut expected = object("p0", "red", &after);
        expected["list"][0]["value"] = "n-p1".into();
        assert_eq!(new, expected);
        assert_eq!(kept, ["data.password", "list.b.value", "list.a.value"]);
    }

    #[test]
    fn an_edit_beside_a_random_value_in_one_text_takes_effect() {
        let text = |password: &str, level: &str| format!("password: {password}\nlevel: {level}\n");
        for encode in [|text: String| text, |text: String| STANDARD.encode(text)] {
            let object =
                |password: &str, level: &str| json!({ "data": { "config.yaml": encode(text(password, level)) } });
            let is_secret = encode("a".to_owned()) != "a";
            let (new, kept) = walked(is_secret, &object("p0", "info"), object("p1", "debug"), &object("p2", "debug"));
            assert_eq!((new, kept), (object("p0", "debug"), vec!["data.config.yaml".to_owned()]));
        }
        let (new, _) = walked(false, &json!({ "a": "one\ntwo" }), json!({ "a": "1" }), &json!({ "a": "2" }));
        assert_eq!(new, json!({ "a": "one\ntwo" }));
    }
}
