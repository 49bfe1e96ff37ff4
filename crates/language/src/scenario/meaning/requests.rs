//! What a step asks of a store or a URL, whoever asks it: the vantage's own probe, or a client that applications use. `at`
//! is where it is written below the step: `http`, or `client/http`.

use super::steps::Judge;
use crate::fixture::Fixture;
use crate::scenario::diagnostic::{Diagnostic, list, suggest};
use crate::scenario::model::{HttpStep, PresignStep, S3Step};

/// The action itself: the last part of where it is written.
fn last(at: &str) -> &str {
    at.rsplit('/').next().unwrap_or(at)
}

impl Judge<'_> {
    pub(super) fn http(&self, at: &str, http: &HttpStep, errors: &mut Vec<Diagnostic>) {
        self.exactly_one(at, "method", &http.methods(), &["get", "put", "head", "post", "delete"], errors);
        if let [(method, url)] = http.methods().as_slice() {
            if !(url.starts_with("https://") || url.starts_with("http://") || url.starts_with("{{")) {
                let error = self.error(&format!("/{at}/{method}"), format!("`{url}` is not a URL"));
                errors.push(error.fix("begin it with `https://` or `http://`, or with a template"));
            }
            if let Some(path) = &http.path {
                if at != "http" {
                    let error = self.key_error(&format!("/{at}/path"), "a client sends the URL as it is".to_owned());
                    errors.push(error.fix("ask with an `http` step where a proxy on the way is meant"));
                } else if !path.starts_with('/') && !path.starts_with("{{") {
                    let error = self.error(&format!("/{at}/path"), "a path does not begin with `/`".to_owned());
                    errors.push(error.fix("write the whole path that is sent, for example `/s3/photos/a.txt`"));
                }
            }
            if http.body.is_some() && !matches!(*method, "put" | "post") {
                let error = self.key_error(&format!("/{at}/body"), format!("`{method}` sends no body"));
                errors.push(error.fix("what must come back goes into `expect: { body: … }`"));
            }
        }
    }

    pub(super) fn s3(&self, at: &str, s3: &S3Step, errors: &mut Vec<Diagnostic>) {
        let all = ["put", "get", "head", "delete", "list", "create-bucket", "create-upload", "complete-upload"];
        self.exactly_one(at, "operation", &s3.operations(), &all, errors);
        if let [(operation, target)] = s3.operations().as_slice() {
            self.object(at, operation, target, errors);
            self.upload(at, operation, s3, errors);
            match (*operation, &s3.body) {
                ("put", None) => {
                    let error = self.key_error(&format!("/{at}/put"), "`put` has no `body`".to_owned());
                    errors.push(error.fix("add `body:` (content to put)"));
                }
                ("put", _) | (_, None) => {}
                (operation, Some(_)) => {
                    let error = self.key_error(&format!("/{at}/body"), format!("`{operation}` sends no body"));
                    errors.push(error.fix("what must come back goes into `expect: { body: … }`"));
                }
            }
        }
        self.store(at, s3.store.as_deref(), errors);
    }

    /// `upload` and `parts` belong to the one operation that completes an upload.
    fn upload(&self, at: &str, operation: &str, s3: &S3Step, errors: &mut Vec<Diagnostic>) {
        let mut wrong = |key: &str, message: String, fix: &str| {
            errors.push(self.key_error(&format!("/{at}/{key}"), message).fix(fix));
        };
        if at != "s3" && operation.ends_with("-upload") {
            wrong(operation, format!("clients are not asked to `{operation}`"), "ask with an `s3` step");
        }
        if operation == "complete-upload" {
            if s3.upload.is_none() {
                let fix = "add `upload:`, captured where it was created: `capture: { upload: /reply/s3/upload_id }`";
                wrong(operation, "it does not say which upload".to_owned(), fix);
            }
            if s3.parts.is_empty() {
                let fix = "add `parts:`, captured where they were sent: `capture: { etag: /reply/http/headers/etag }`";
                wrong(operation, "an upload without parts cannot be completed".to_owned(), fix);
            }
            return;
        }
        for (key, given) in [("upload", s3.upload.is_some()), ("parts", !s3.parts.is_empty())] {
            if given {
                wrong(key, format!("`{operation}` takes no `{key}`"), "it belongs to `complete-upload`");
            }
        }
    }

    pub(super) fn presign(&self, at: &str, presign: &PresignStep, errors: &mut Vec<Diagnostic>) {
        self.exactly_one(at, "method", &presign.methods(), &["get", "put", "head", "delete"], errors);
        if let [(method, target)] = presign.methods().as_slice() {
            self.object(at, method, target, errors);
        }
        if presign.expires.as_millis() < 1000 {
            let message = format!("a URL cannot be valid for {}", presign.expires);
            let fix = "write how long it is valid, 1s or more; for an expired one sign in the past: `signed: -1h`";
            errors.push(self.error(&format!("/{at}/expires"), message).fix(fix));
        }
        self.store(at, presign.store.as_deref(), errors);
    }

    fn exactly_one(&self, at: &str, what: &str, given: &[(&str, &str)], all: &[&str], errors: &mut Vec<Diagnostic>) {
        let action = last(at);
        match given {
            [_] => {}
            [] => {
                let error = self.key_error(&format!("/{at}"), format!("`{action}` has no {what}"));
                errors.push(error.fix(format!("give it one of {}", list(all))));
            }
            [(first, _), more @ ..] => {
                for (second, _) in more {
                    let message = format!("`{action}` has two {what}s: `{first}` and `{second}`");
                    errors.push(self.key_error(&format!("/{at}/{second}"), message).fix("make it two steps"));
                }
            }
        }
    }

    /// `bucket/key`, `bucket[/prefix]` or `bucket`, as far as it can be judged before templates are filled in.
    fn object(&self, at: &str, operation: &str, target: &str, errors: &mut Vec<Diagnostic>) {
        if target.contains("{{") {
            return;
        }
        let fix = match (operation, target.split_once('/')) {
            _ if target.contains("://") => "leave the scheme out: `bucket/key`",
            ("list", Some((bucket, _))) if !bucket.is_empty() => return,
            ("list" | "create-bucket", None) if !target.is_empty() => return,
            (_, Some((bucket, key))) if operation != "create-bucket" && !bucket.is_empty() && !key.is_empty() => return,
            ("create-bucket", _) => "write the name of a bucket alone",
            ("list", _) => "write `bucket` or `bucket/prefix`",
            _ => "write `bucket/key`",
        };
        let error = self.error(&format!("/{at}/{operation}"), format!("`{target}` is not what `{operation}` works on"));
        errors.push(error.fix(fix));
    }

    pub(super) fn store(&self, at: &str, named: Option<&str>, errors: &mut Vec<Diagnostic>) {
        let action = last(at);
        let fixtures = &self.subject.scenario.fixtures;
        let library = self.subject.library;
        let is_store = |name: &str| library.get(name).is_some_and(Fixture::is_store);
        let stores: Vec<&str> =
            fixtures.iter().filter(|(_, used)| is_store(&used.fixture)).map(|(id, _)| id.as_str()).collect();
        match named {
            Some(name) if stores.contains(&name) => {}
            Some(name) => {
                let message = match fixtures.get(name) {
                    // An unknown fixture is told at its own place.
                    Some(used) if library.get(&used.fixture).is_none() => return,
                    Some(used) => format!("`{name}` is a `{}`, which is no S3 store", used.fixture),
                    None => format!("there is no S3 store `{name}`"),
                };
                errors.push(self.error(&format!("/{at}/store"), message).fix(suggest(name, stores, "stores")));
            }
            None if stores.len() == 1 => {}
            None if stores.is_empty() => {
                // Where a fixture is unknown, it may have been the store.
                if fixtures.values().all(|used| library.get(&used.fixture).is_some()) {
                    let error =
                        self.key_error(&format!("/{at}"), format!("`{action}` in a scenario without an S3 store"));
                    errors.push(error.fix("add one under `fixtures`, for example `store: { use: minio, … }`"));
                }
            }
            None => {
                let error = self.key_error(&format!("/{at}"), format!("`{action}` does not say which store it asks"));
                errors.push(error.fix(format!("add `store:` with one of {}", list(&stores))));
            }
        }
    }
}
