//! Asks the questions of `parallax check` about web identity.

use std::collections::BTreeMap;

use parallax_explain::span;
use parallax_vocab::answer::TemporaryCredentials;
use parallax_vocab::question::{
    HttpQuestion, JwtQuestion, Probe, S3Access, S3Operation, S3Question, StsQuestion, TokenSource,
};
use parallax_vocab::{Answer, Reply};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use super::ask::Asking;
use super::rows::{self, Cell, Row, State};
use crate::apply::TOKEN_FILE;

impl Asking<'_> {
    /// Asks the questions about web identity, and returns their rows: the pod's token, the exchange of the token for
    /// credentials, and what these credentials may do. Only a pod has a token, so nothing is asked outside.
    pub(super) async fn web_identity(&mut self, may: [bool; 2]) -> Vec<Row> {
        let Some(identity) = self.wanted.identity.clone() else { return Vec::new() };
        let outside = || Cell::not_asked("only a pod has a token");
        let in_pod = self.inside.is_some();
        let token = || match &identity.token {
            Some(token) => TokenSource::Value(token.clone()),
            None => TokenSource::File(TOKEN_FILE.to_owned()),
        };
        let mut all = Vec::new();
        let probe = Probe::Jwt(JwtQuestion { token: token(), issuer: None });
        let both = self
            .both(
                "token",
                [in_pod, false],
                |_| Some(probe.clone()),
                |at, asked| rows::token(at, asked, &identity.audience),
            )
            .await;
        all.push(Row::of("token", both.inside.0, outside()));
        let Some(role_arn) = identity.role.clone() else {
            all.push(Row::of("sign-in", Cell::not_asked("no --role"), outside()));
            return all;
        };
        let probe = Probe::Sts(StsQuestion {
            endpoint: self.wanted.endpoint.clone(),
            role_arn,
            token: token(),
            duration_s: None,
            policy: None,
        });
        let both = self.both("sign-in", [may[0], false], |_| Some(probe.clone()), rows::sign_in).await;
        let answer = both.inside.1.as_ref().and_then(|it| it.answer.as_ref().ok());
        self.gained = answer.and_then(credentials);
        all.push(Row::of("sign-in", both.inside.0, outside()));
        if let (Some(gained), Some(bucket)) = (&self.gained, &self.wanted.bucket) {
            let access = S3Access {
                endpoint: self.wanted.endpoint.clone(),
                region: self.wanted.region.clone(),
                access_key: gained.access_key.clone(),
                secret_key: gained.secret_key.clone(),
                session_token: Some(gained.session_token.clone()),
                addressing: parallax_vocab::question::Addressing::Path,
            };
            let list = S3Operation::List { bucket: bucket.clone(), prefix: self.wanted.prefix() };
            let probe = Probe::S3(S3Question { access: access.clone(), operation: list, headers: BTreeMap::new() });
            let both = self.both("what it may do", [true, false], |_| Some(probe.clone()), rows::keys).await;
            all.push(Row::of("what it may do", both.inside.0, outside()));
            all.push(self.link(&access, bucket, &gained.expires, may[1]).await);
        }
        all
    }

    /// Compares two times: how long the user wants links to be valid, and how long the credentials that sign the links
    /// remain valid. Also opens, from outside, a link that these credentials signed.
    async fn link(&self, access: &S3Access, bucket: &str, expires: &str, may_outside: bool) -> Row {
        let url = self.presigned(false, access, ("GET", bucket, &format!("{}link.txt", self.wanted.prefix()))).await;
        let open = |_| Some(Probe::Http(HttpQuestion::new("GET", url.clone()?)));
        let both = self
            .both("link", [false, may_outside], open, |at, asked| rows::opened(at, asked, &access.secret_key))
            .await;
        Row::of("link", link(self.wanted.links_for_s, expires, OffsetDateTime::now_utc()), both.outside.0)
    }
}

/// Builds the table cell for a link that temporary credentials sign. `wanted_s` is the number of seconds for which the
/// user wants links to be valid, and `expires` is the moment at which the credentials end.
fn link(wanted_s: Option<u64>, expires: &str, now: OffsetDateTime) -> Cell {
    let Ok(end) = OffsetDateTime::parse(expires, &Rfc3339) else {
        return Cell::not_asked("when the credentials end is not said");
    };
    let left = (end - now).max(Duration::ZERO);
    let text = format!("ends with the credentials, in {}", span(left));
    let Some(wanted) = wanted_s.and_then(|it| i64::try_from(it).ok()).map(Duration::seconds) else {
        return Cell::new(State::Note, text);
    };
    if left >= wanted {
        return Cell::new(State::Good, format!("lives {}", span(wanted)));
    }
    let why = format!(
        "`link` from inside: a link that is signed with these credentials for {} ends with them after {}, at {expires}, and the store then answers 403 InvalidAccessKeyId: sign links when somebody asks for them, or with credentials that live longer",
        span(wanted),
        span(left),
    );
    Cell { state: State::Bad, text, why: Some(why), section: Some("a-url-ends-before-its-time") }
}

fn credentials(answer: &Answer) -> Option<TemporaryCredentials> {
    match answer.reply()? {
        Reply::Sts(sts) => sts.credentials.clone(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_link_ends_with_its_credentials() {
        let of = |wanted_s, expires| link(wanted_s, expires, datetime!(2026-11-28 09:00 UTC));
        let hour = "2026-11-28T10:00:00Z";
        assert_eq!(of(None, hour).state, State::Note);
        assert_eq!(of(Some(3600), hour), Cell::new(State::Good, "lives 1 h"));
        let late = of(Some(7 * 24 * 3600), hour);
        assert_eq!((late.state, late.section), (State::Bad, Some("a-url-ends-before-its-time")));
        assert!(late.why.is_some_and(|it| it.contains("for 7 d ends with them after 1 h")));
        assert_eq!(of(None, "soon").state, State::NotAsked);
    }
}
