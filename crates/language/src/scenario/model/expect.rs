//! What must hold of a step.

use indexmap::IndexMap;
use parallax_vocab::DnsFault;
use parallax_vocab::answer::Signature;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ChainOf;
use crate::scenario::duration::Span;
use crate::scenario::parts::{Parts as _, See, below};
use crate::scenario::template::{Template, Tree, Words};

/// What must hold: every key that is given. Which keys a step takes depends on what it does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    rename_all = "kebab-case",
    bound(deserialize = "Text: Deserialize<'de>, Tree: Deserialize<'de>, Chain: Deserialize<'de>")
)]
#[schemars(rename = "Expect")]
pub struct Expect<Text = String, Tree = Value, Chain = String> {
    /// HTTP status code (`http`, `s3`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 100, max = 599))]
    pub status: Option<u16>,
    /// S3 error code (`http`, `s3`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<Text>,
    /// Error code of the security token service (`sts`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sts: Option<Text>,
    /// A part of the token's claims, as `object` has it (`jwt`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<Tree>,
    /// Whether the published keys vouch for the token (`jwt`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
    /// The whole body (`http`, `s3 get`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Text>,
    /// Headers of the answer (`http`), names in lower case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<IndexMap<String, Text>>,
    /// The name must not resolve, and the resolver must say this (`dns`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<DnsFault>,
    /// The client must tell no answer, and these words must be among its own (`client`): what it is known to be unable to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<Text>,
    /// The only address that the name has (`dns`), or that was connected to (`tls`, `http`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Text>,
    /// The chain that the server sends is the one that this earlier `tls` or `http` step saw: same leaf, same issuers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_chain_as: Option<Chain>,
    /// A name in the server's leaf certificate (`tls`, `http`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_name: Option<Text>,
    /// Serial number of the server's leaf certificate (`tls`, `http`), lower-case hexadecimal, as a `rotate` step yields it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<Text>,
    /// How many certificates the server sends (`tls`, `http`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain_length: Option<usize>,
    /// Keys that a listing holds, exactly (`s3 list`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<Vec<Text>>,
    /// The exit code (`script`); 128 and the signal's number where a signal ended it. 0 where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 255))]
    pub exit: Option<i32>,
    /// Words that standard output holds (`script`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdout: Option<Text>,
    /// Words that standard error holds (`script`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stderr: Option<Text>,
    /// A part of the JSON that standard output is (`script`), compared as `object` is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<Tree>,
    /// A part of the object: every field given must be there and equal (`resource`). Entries of a list that have a
    /// `type` or `name` are found by it, wherever they stand; other lists are compared whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<Tree>,
    /// `true`: there must be no such object (`resource`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent: Option<bool>,
    /// Some line holds this text (`log`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<Text>,
    /// No line holds this text (`log`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_line: Option<Text>,
    /// The server's message holds this text (`sts`), or some event's does (`event`). Where `reason` is given too, it is the same event's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Text>,
    /// Some event has this reason (`event`): `FailedMount`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text>,
    /// How many probes failed so far, exactly (`prober`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failures: Option<u64>,
    /// The longest time between two successful probes: the outage that a client sees (`prober`). The prober's beginning
    /// and its end bound it too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longest_gap: Option<SpanBound>,
    /// How many different leaf certificates the probes met, exactly (`prober`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serials: Option<usize>,
    /// Probes that have an outcome, at the least (`prober`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<u64>,
    /// How many numbers there are, exactly (`figures`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<usize>,
    /// The median (`figures`); of an even count, the lower of the two in the middle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub median: Option<NumberBound>,
    /// How many rows the database holds (`sqlite`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<NumberBound>,
    /// What `PRAGMA integrity_check` says (`sqlite`): `ok`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub integrity: Option<Text>,
    /// How many objects the replica has (`replica`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<NumberBound>,
    /// How long ago the newest object of the replica was written (`replica`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<SpanBound>,
    /// The number that is measured (`measure`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<NumberBound>,
    /// The greatest (`figures`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worst: Option<NumberBound>,
}

/// A bound of a span: one of the two, or both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SpanBound {
    /// It must be shorter than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<Span>,
    /// It must be as long as this or longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<Span>,
}

/// A bound of a number: one of the two, or both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NumberBound {
    /// It must be less than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<f64>,
    /// It must be this or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
}

/// What must hold, as a scenario writes it: texts may refer to what is known later.
pub type WrittenExpect = Expect<Template, Tree, ChainOf>;

impl WrittenExpect {
    /// Shows every part that refers to something, with its pointer. Each field is listed, so that none is left out.
    pub fn see<'p>(&'p self, at: &mut String, to: &mut See<'_, 'p>) {
        let Self {
            status: _,
            s3,
            sts,
            claims,
            signature: _,
            body,
            headers,
            dns: _,
            client,
            address,
            same_chain_as,
            certificate_name,
            serial,
            chain_length: _,
            keys,
            exit: _,
            stdout,
            stderr,
            json,
            object,
            absent: _,
            line,
            no_line,
            message,
            reason,
            failures: _,
            longest_gap: _,
            serials: _,
            at_least: _,
            count: _,
            median: _,
            rows: _,
            integrity,
            objects: _,
            newest: _,
            value: _,
            worst: _,
        } = self;
        below(at, "s3", |at| s3.see(at, to));
        below(at, "sts", |at| sts.see(at, to));
        below(at, "claims", |at| claims.see(at, to));
        below(at, "body", |at| body.see(at, to));
        below(at, "headers", |at| headers.see(at, to));
        below(at, "client", |at| client.see(at, to));
        below(at, "address", |at| address.see(at, to));
        below(at, "same_chain_as", |at| same_chain_as.see(at, to));
        below(at, "certificate_name", |at| certificate_name.see(at, to));
        below(at, "serial", |at| serial.see(at, to));
        below(at, "keys", |at| keys.see(at, to));
        below(at, "stdout", |at| stdout.see(at, to));
        below(at, "stderr", |at| stderr.see(at, to));
        below(at, "json", |at| json.see(at, to));
        below(at, "object", |at| object.see(at, to));
        below(at, "line", |at| line.see(at, to));
        below(at, "no_line", |at| no_line.see(at, to));
        below(at, "message", |at| message.see(at, to));
        below(at, "reason", |at| reason.see(at, to));
        below(at, "integrity", |at| integrity.see(at, to));
    }

    /// What must hold, with every reference replaced.
    pub fn filled(&self, words: &Words<'_>) -> Result<Expect, String> {
        let text = |it: &Template| it.filled(words).map(|it| it.to_string());
        let Self {
            status,
            s3,
            sts,
            claims,
            signature,
            body,
            headers,
            dns,
            client,
            address,
            same_chain_as,
            certificate_name,
            serial,
            chain_length,
            keys,
            exit,
            stdout,
            stderr,
            json,
            object,
            absent,
            line,
            no_line,
            message,
            reason,
            failures,
            longest_gap,
            serials,
            at_least,
            count,
            median,
            rows,
            integrity,
            objects,
            newest,
            value,
            worst,
        } = self;
        Ok(Expect {
            status: *status,
            s3: s3.as_ref().map(text).transpose()?,
            sts: sts.as_ref().map(text).transpose()?,
            claims: claims.as_ref().map(|it| Ok::<_, String>(it.filled(words)?.value().clone())).transpose()?,
            signature: *signature,
            body: body.as_ref().map(text).transpose()?,
            headers: headers
                .as_ref()
                .map(|all| all.iter().map(|(name, it)| Ok((name.clone(), text(it)?))).collect::<Result<_, String>>())
                .transpose()?,
            dns: *dns,
            client: client.as_ref().map(text).transpose()?,
            address: address.as_ref().map(text).transpose()?,
            same_chain_as: same_chain_as.as_ref().map(ToString::to_string),
            certificate_name: certificate_name.as_ref().map(text).transpose()?,
            serial: serial.as_ref().map(text).transpose()?,
            chain_length: *chain_length,
            keys: keys.as_ref().map(|all| all.iter().map(text).collect::<Result<_, _>>()).transpose()?,
            exit: *exit,
            stdout: stdout.as_ref().map(text).transpose()?,
            stderr: stderr.as_ref().map(text).transpose()?,
            json: json.as_ref().map(|it| Ok::<_, String>(it.filled(words)?.value().clone())).transpose()?,
            object: object.as_ref().map(|it| Ok::<_, String>(it.filled(words)?.value().clone())).transpose()?,
            absent: *absent,
            line: line.as_ref().map(text).transpose()?,
            no_line: no_line.as_ref().map(text).transpose()?,
            message: message.as_ref().map(text).transpose()?,
            reason: reason.as_ref().map(text).transpose()?,
            failures: *failures,
            longest_gap: *longest_gap,
            serials: *serials,
            at_least: *at_least,
            count: *count,
            median: *median,
            rows: *rows,
            integrity: integrity.as_ref().map(text).transpose()?,
            objects: *objects,
            newest: *newest,
            value: *value,
            worst: *worst,
        })
    }
}

impl<Text, Tree, Chain> Default for Expect<Text, Tree, Chain> {
    fn default() -> Self {
        Self {
            status: None,
            s3: None,
            sts: None,
            claims: None,
            signature: None,
            body: None,
            headers: None,
            dns: None,
            client: None,
            address: None,
            same_chain_as: None,
            certificate_name: None,
            serial: None,
            chain_length: None,
            keys: None,
            exit: None,
            stdout: None,
            stderr: None,
            json: None,
            object: None,
            absent: None,
            line: None,
            no_line: None,
            message: None,
            reason: None,
            failures: None,
            longest_gap: None,
            serials: None,
            at_least: None,
            count: None,
            median: None,
            rows: None,
            integrity: None,
            objects: None,
            newest: None,
            value: None,
            worst: None,
        }
    }
}

impl<Text, Tree, Chain> Expect<Text, Tree, Chain> {
    /// The matchers that are given. Each field is listed, so that none is left out.
    pub fn given(&self) -> Vec<&'static str> {
        let Self {
            status,
            s3,
            sts,
            claims,
            signature,
            body,
            headers,
            dns,
            client,
            address,
            same_chain_as,
            certificate_name,
            serial,
            chain_length,
            keys,
            exit,
            stdout,
            stderr,
            json,
            object,
            absent,
            line,
            no_line,
            message,
            reason,
            failures,
            longest_gap,
            serials,
            at_least,
            count,
            median,
            rows,
            integrity,
            objects,
            newest,
            value,
            worst,
        } = self;
        let all = [
            ("status", status.is_some()),
            ("s3", s3.is_some()),
            ("sts", sts.is_some()),
            ("claims", claims.is_some()),
            ("signature", signature.is_some()),
            ("body", body.is_some()),
            ("headers", headers.is_some()),
            ("dns", dns.is_some()),
            ("client", client.is_some()),
            ("address", address.is_some()),
            ("same-chain-as", same_chain_as.is_some()),
            ("certificate-name", certificate_name.is_some()),
            ("serial", serial.is_some()),
            ("chain-length", chain_length.is_some()),
            ("keys", keys.is_some()),
            ("exit", exit.is_some()),
            ("stdout", stdout.is_some()),
            ("stderr", stderr.is_some()),
            ("json", json.is_some()),
            ("object", object.is_some()),
            ("absent", absent.is_some()),
            ("line", line.is_some()),
            ("no-line", no_line.is_some()),
            ("message", message.is_some()),
            ("reason", reason.is_some()),
            ("failures", failures.is_some()),
            ("longest-gap", longest_gap.is_some()),
            ("serials", serials.is_some()),
            ("at-least", at_least.is_some()),
            ("count", count.is_some()),
            ("median", median.is_some()),
            ("worst", worst.is_some()),
            ("rows", rows.is_some()),
            ("integrity", integrity.is_some()),
            ("objects", objects.is_some()),
            ("newest", newest.is_some()),
            ("value", value.is_some()),
        ];
        all.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect()
    }
}
