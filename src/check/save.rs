//! Writes the questions of `parallax check` as a scenario, so that users get a first scenario of their own. The
//! scenario asks these questions in a cluster that the harness starts, with a store that has the same host name. It
//! also has breaks for usual faults, such as a missing DNS rule.

use std::fmt::Write as _;

use super::ask::Checked;
use super::rows::{Cell, Row, State};
use super::signed::ODD_KEY;
use super::wanted::Wanted;
use super::{headers, show};

/// The host name of the store in the scenario, if the user checked an IP address or a name without a dot. Also the
/// bucket in the scenario, if the user gave none.
const HOST: &str = "minio.example.com";
const BUCKET: &str = "photos";

/// Returns the text of a scenario with the name `name` that asks the same questions as the check.
pub fn scenario(name: &str, wanted: &Wanted, checked: &Checked) -> String {
    let asked = |row: &str| checked.rows.iter().find(|it| it.name == row).is_some_and(is_asked);
    let inside = checked.no_inside.is_none() && checked.rows.iter().any(|it| it.inside.state != State::NotAsked);
    let parts = [("keys", Part::Keys), (headers::SIGNED, Part::Headers), ("cors", Part::Pages)];
    let parts = parts.into_iter().filter(|(row, _)| asked(row)).map(|(_, part)| part);
    let flow = Flow { inside, parts: parts.collect() };
    let mut text = format!("name: {name}\nsummary: What `parallax check {}` asked, on both sides\n", wanted.endpoint);
    if !inside {
        text = text.replace(", on both sides", ", outside");
    }
    text.push_str(&seen(checked));
    text.push_str(&fixtures(wanted, inside));
    text.push_str(&flow.steps(wanted));
    text.push_str(&flow.breaks());
    text
}

fn is_asked(row: &Row) -> bool {
    row.inside.state != State::NotAsked || row.outside.state != State::NotAsked
}

/// Returns the answers of the check as YAML comments, without secrets.
fn seen(checked: &Checked) -> String {
    let mut text = "# What the check saw:\n".to_owned();
    let shown = |it: &Cell| {
        let words = it.text.split_whitespace().collect::<Vec<_>>().join(" ");
        if it.state == State::NotAsked { "not asked".to_owned() } else { words }
    };
    for row in checked.rows.iter().filter(|it| is_asked(it)) {
        let state = if row.is_bad() { "FAILED " } else { "" };
        let _ =
            writeln!(text, "#   {state}{}: inside {}; outside {}", row.name, shown(&row.inside), shown(&row.outside));
    }
    show::redactor(checked).text(&text)
}

fn fixtures(wanted: &Wanted, inside: bool) -> String {
    let named = wanted.host.contains('.') && wanted.host.parse::<std::net::IpAddr>().is_err();
    let host = if named { wanted.host.to_lowercase() } else { HOST.to_owned() };
    let region = if wanted.region == "us-east-1" { String::new() } else { format!(", region: {}", wanted.region) };
    let port = if wanted.tls() && wanted.port != 443 { format!(", port: {}", wanted.port) } else { String::new() };
    let bucket = bucket(wanted);
    let mut text = format!(
        "fixtures:\n  ca: {{ use: certificate-authority }}\n  store: {{ use: minio, host: {host}, tls: {{ issuer: ca }}, buckets: [{bucket}]{port}{region} }}\n"
    );
    if inside {
        text.push_str("  names: { use: dns-rewrite, from: \"{{ store.host }}\", to: \"{{ store.service }}\" }\n");
    }
    text.push_str("vantages:\n");
    if inside {
        text.push_str("  inside: { pod: { trust: [ca] } }\n");
    }
    text.push_str("  outside: { outside: { trust: [ca] } }\n");
    text
}

fn bucket(wanted: &Wanted) -> &str {
    wanted.bucket.as_deref().unwrap_or(BUCKET)
}

/// A part of the flow that is written only if the check asked the questions of this part.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The part about presigned URLs, which need the store's keys.
    Keys,
    /// The part about signed headers.
    Headers,
    /// The part about requests from web pages of another origin (CORS).
    Pages,
}

/// The contents of the scenario's flow: whether questions are also asked from a pod and not only from outside, and
/// which parts the flow has.
struct Flow {
    inside: bool,
    parts: Vec<Part>,
}

impl Flow {
    fn has(&self, part: Part) -> bool {
        self.parts.contains(&part)
    }

    fn sides(&self) -> &'static [&'static str] {
        if self.inside { &["inside", "outside"] } else { &["outside"] }
    }

    fn steps(&self, wanted: &Wanted) -> String {
        let bucket = bucket(wanted);
        let mut text = "flow:\n".to_owned();
        if self.inside {
            text.push_str("  - { id: name-inside, from: inside, dns: { name: \"{{ store.host }}\" }, expect: { address: \"{{ store.cluster-ip }}\" } }\n");
        }
        text.push_str("  - { id: name-outside, from: outside, dns: { name: \"{{ store.host }}\" }, expect: { address: \"{{ store.published }}\" } }\n");
        text.push_str("\n  # The store answers a stranger, and refuses.\n");
        for side in self.sides() {
            let _ = writeln!(
                text,
                "  - {{ id: stranger-{side}, from: {side}, http: {{ get: \"{{{{ store.endpoint }}}}/{bucket}\" }}, expect: {{ status: 403, s3: AccessDenied }} }}"
            );
        }
        if self.has(Part::Pages) {
            text.push_str("\n  # A page of another origin may read the answer.\n");
            for side in self.sides() {
                let _ = writeln!(
                    text,
                    "  - id: page-{side}\n    from: {side}\n    http: {{ get: \"{{{{ store.endpoint }}}}/{bucket}\", headers: {{ Origin: \"https://app.example.com\" }} }}\n    expect: {{ status: 403, headers: {{ access-control-allow-origin: \"https://app.example.com\" }} }}"
                );
            }
        }
        if !self.has(Part::Keys) {
            return text;
        }
        text.push_str("\n  # Each side opens what the other side signed.\n");
        for (key, id) in [("plain.txt", "plain"), (ODD_KEY, "odd")] {
            let _ =
                writeln!(text, "  - {{ id: put-{id}, from: outside, s3: {{ put: \"{bucket}/{key}\", body: hello }} }}");
            for (side, signer) in self.pairs() {
                let _ = writeln!(
                    text,
                    "  - {{ id: {id}-for-{side}, from: {signer}, presign: {{ get: \"{bucket}/{key}\", expires: 5m }} }}"
                );
                let _ = writeln!(
                    text,
                    "  - {{ id: {id}-{side}, needs: [put-{id}], from: {side}, http: {{ get: \"{{{{ {id}-for-{side} }}}}\" }}, expect: {{ status: 200, body: hello }} }}"
                );
            }
        }
        if self.has(Part::Headers) {
            text.push_str("\n  # Nothing on the way changes a signed header. The AWS SDK for Go signs this one.\n");
            for side in self.sides() {
                let _ = writeln!(
                    text,
                    "  - {{ id: headers-{side}, from: {side}, s3: {{ list: {bucket}, headers: {{ accept-encoding: identity }} }}, expect: {{ status: 200 }} }}"
                );
            }
        }
        text
    }

    /// The pairs of vantages for a presigned URL: the vantage that opens the URL, and the vantage that signs it.
    fn pairs(&self) -> &'static [(&'static str, &'static str)] {
        if self.inside { &[("inside", "outside"), ("outside", "inside")] } else { &[("outside", "outside")] }
    }

    /// Returns the ids of the steps that send a request from `side`, which is `inside` or `outside`. Steps that only
    /// write an object are left out.
    fn requests(&self, side: &str) -> Vec<String> {
        let mut all = vec![format!("stranger-{side}")];
        all.extend(self.has(Part::Pages).then(|| format!("page-{side}")));
        if self.has(Part::Keys) {
            all.extend(["plain", "odd"].map(|id| format!("{id}-{side}")));
            all.extend(self.has(Part::Headers).then(|| format!("headers-{side}")));
        }
        all
    }

    fn breaks(&self) -> String {
        let mut text = "breaks:\n".to_owned();
        let fails = |steps: &[String], cause: &str| {
            let lines = steps.iter().map(|step| format!("      {step}: {{ {cause} }}\n"));
            format!("    fails:\n{}", lines.collect::<String>())
        };
        if self.inside {
            let mut steps = vec!["name-inside".to_owned()];
            steps.extend(self.requests("inside"));
            text.push_str("  no-rewrite:\n    summary: Pods have no DNS rule from the store's name to its Service\n    change: { fixtures: { names: remove } }\n");
            text.push_str(&fails(&steps, "dns: no-such-name"));
        }
        let opened = |it: &String| it.starts_with("plain-") || it.starts_with("odd-");
        let all: Vec<String> = self.sides().iter().flat_map(|side| self.requests(side)).collect();
        let (blocked, mut steps): (Vec<String>, Vec<String>) = all.into_iter().partition(opened);
        if self.has(Part::Keys) {
            steps.extend(["put-plain".to_owned(), "put-odd".to_owned()]);
        }
        text.push_str("  other-name:\n    summary: The store's certificate is for another name\n    change: { fixtures: { store: { tls: { names: [other.example.com] } } } }\n");
        text.push_str(&fails(&steps, "tls: name-mismatch"));
        if !self.has(Part::Keys) {
            return text;
        }
        let _ = writeln!(text, "    blocks: [{}]", blocked.join(", "));
        text.push_str("  host-rewritten:\n    summary: A proxy on the way rewrites Host\n    change: { flow: { plain-outside: { http: { host: \"{{ store.service }}\" } } } }\n");
        let refused = "status: 403, s3: SignatureDoesNotMatch";
        text.push_str(&fails(&["plain-outside".to_owned()], refused));
        text.push_str("  wrong-secret:\n    summary: Who signs has another secret key than the store\n    change: { flow: { odd-for-outside: { presign: { secret-key: another-secret-key } } } }\n");
        text.push_str(&fails(&["odd-outside".to_owned()], refused));
        text
    }
}
