//! `rotate`: issues a new leaf certificate.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Alters, Kinded, Nature, Reach, Rules};
use crate::fixture::Fixture;
use crate::scenario::diagnostic::{Diagnostic, suggest};
use crate::scenario::duration::Span;
use crate::scenario::meaning::Judge;
use crate::scenario::parts::parts;
use crate::scenario::template::Template;
/// Put a new leaf certificate with a new key and serial number into the Secret of a fixture's certificate. The step's
/// value is the new serial number. Fields that are left out keep the fixture's values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RotateStep {
    /// The fixture and its certificate to replace: `store.serving` is the certificate `serving` of the fixture `store`.
    pub certificate: String,
    /// The id of the authority that issues the new certificate. By default, the authority stays the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The start of the new certificate's validity, relative to the start of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Span>,
    /// The end of the new certificate's validity, relative to the start of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Span>,
    /// The DNS names and addresses for which the new certificate is valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<Vec<Template>>,
}

parts!(RotateStep { certificate, issuer, not_before, not_after, names });

impl Kinded for RotateStep {
    const NATURE: Nature = Nature::act();
    const TYPICAL_MS: u64 = 20_000;
}

impl Alters for RotateStep {
    fn reach(&self) -> Reach<'_> {
        // `touched` lists the objects whose pods may end. A new certificate ends no pod, so the list is empty.
        Reach { touched: Vec::new(), node: None, beside: None, starts: false, waits: true, applied: &[], within: None }
    }
}

impl Rules for RotateStep {
    fn yields(&self) -> bool {
        true
    }

    fn check(&self, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        self.check_certificate(judge, errors);
        if let Some(issuer) = &self.issuer {
            let fixtures = &judge.subject.scenario.fixtures;
            let authorities = |name: &str| judge.subject.library.get(name).is_some_and(Fixture::issues);
            let known: Vec<&str> =
                fixtures.iter().filter(|(_, it)| authorities(&it.fixture)).map(|(id, _)| id.as_str()).collect();
            if !known.contains(&issuer.as_str()) {
                let error = judge.error("/rotate/issuer", format!("there is no certificate authority `{issuer}`"));
                errors.push(error.fix(suggest(issuer, known, "certificate authorities")));
            }
        }
        if let (Some(begins), Some(ends)) = (self.not_before, self.not_after)
            && begins >= ends
        {
            let message = format!("the validity of the certificate ends ({ends}) before it begins ({begins})");
            let error = judge.key_error("/rotate/not-after", message);
            errors.push(error.fix("both are relative to the start of the run"));
        }
        if self.names.as_ref().is_some_and(Vec::is_empty) {
            let error = judge.key_error("/rotate/names", "a certificate needs at least one name".to_owned());
            errors.push(error.fix("add a host name, or remove `names` to keep the names of the fixture"));
        }
    }
}

impl RotateStep {
    /// Checks that `certificate` refers to a fixture and to one of the fixture's certificates.
    fn check_certificate(&self, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        let named = self.certificate.as_str();
        let (fixtures, library) = (&judge.subject.scenario.fixtures, judge.subject.library);
        let all = fixtures.iter().filter_map(|(id, used)| Some((id, library.get(&used.fixture)?)));
        let all = all.flat_map(|(id, it)| it.file.certificates.keys().map(move |name| format!("{id}.{name}")));
        let all: Vec<String> = all.collect();
        if all.iter().any(|it| it == named) {
            return;
        }
        let fixture = named.split_once('.').map(|(fixture, _)| fixture);
        let message = match fixture.map(|id| (id, fixtures.get(id))) {
            None => format!("`{named}` does not name a certificate of a fixture"),
            Some((id, None)) => format!("there is no fixture `{id}`"),
            // An unknown fixture is reported where the fixture is declared.
            Some((_, Some(used))) if library.get(&used.fixture).is_none() => return,
            Some((id, Some(_))) => format!("fixture `{id}` has no certificate `{}`", &named[id.len() + 1..]),
        };
        let fix = if all.is_empty() {
            "no fixture of this scenario has a certificate".to_owned()
        } else {
            suggest(named, all.iter().map(String::as_str), "certificates")
        };
        errors.push(judge.error("/rotate/certificate", message).fix(fix));
    }
}
