//! Builds the rows of `parallax check` about the application's own resolver and its own trusted certificates. There are
//! such rows only if the questions are asked from the application's container.
//!
//! The other rows resolve names by DNS alone, and trust the certificates that the user gave. A program of the
//! application also reads `/etc/hosts`. It trusts the certificates of its own image, or those that an environment
//! variable names.

use std::net::IpAddr;

use parallax_vocab::question::{Probe, TlsQuestion};
use parallax_vocab::settings::{NamedBy, Settings, TOO_LARGE, TrustStore, certificates};
use parallax_vocab::{Cause, Reply, TlsFault};

use super::ask::{Asking, Both};
use super::rows::{self, At, Cell, Row, State};
use super::trust::usable;

/// The name of the row about the application's resolver.
const RESOLVER: &str = "own resolver";
/// The name of the row that says that the application's settings could not be read.
const UNREAD: &str = "own settings";

/// Whether a trust store trusts the certificate chain of the endpoint.
#[derive(Clone, Debug, PartialEq)]
enum Verdict {
    /// The trust store contains an authority that signs the endpoint's certificate chain.
    Trusts,
    /// The trust store has this number of usable certificates, and none of them signs the endpoint's certificate chain.
    Not(usize),
    /// The trust store cannot be read, or has no usable certificate. The text is the reason.
    Unusable(String),
    /// The trust store is too large to be sent in a question, so it was not tried. The application's programs may read
    /// it nevertheless.
    TooLarge,
    /// The connection to the endpoint failed before the certificate could be verified. The value is the table cell with
    /// the reason.
    NotKnown(Cell),
}

impl Asking<'_> {
    /// Builds the row about the application's own resolver. The resolver is compared with `name`, the result of the
    /// name look-up by DNS. Returns no row if the agent is not in the application's container.
    pub(super) fn own_resolver(&self, name: &Both) -> Vec<Row> {
        let outside = || Cell::not_asked("only a container has settings");
        let cell = match &self.own {
            None => return Vec::new(),
            Some(Err(why)) => return vec![Row::of(UNREAD, Cell::not_asked(why.clone()), outside())],
            Some(Ok(own)) => {
                let answer = name.inside.1.as_ref().and_then(|it| it.answer.as_ref().ok());
                let found = match answer.and_then(|it| it.reply()) {
                    Some(Reply::Dns(dns)) => dns.addresses.clone(),
                    _ => Vec::new(),
                };
                resolver(own, &self.wanted.host, &found)
            }
        };
        vec![Row::of(RESOLVER, cell, outside())]
    }

    /// Asks for the endpoint's certificate once more for each trust store of the application, and returns a row for
    /// each. `ours` is the result of the same question with the certificates that the user gave.
    pub(super) async fn own_trust(&self, ours: &Both) -> Vec<Row> {
        let (Some(Ok(own)), Some(_)) = (&self.own, &ours.inside.1) else { return Vec::new() };
        let mut judged = Vec::new();
        for store in &own.stores {
            judged.push((store, self.verdict(store).await));
        }
        let given = if self.wanted.given_trust { "--ca" } else { "this machine" };
        let outside = || Cell::not_asked("only a container has settings");
        let cells = (0..judged.len()).map(|at| trust(&judged, at, ours.inside.0.passes(), given));
        judged.iter().zip(cells).map(|((store, _), cell)| Row::of(row(store.named_by), cell, outside())).collect()
    }

    async fn verdict(&self, store: &TrustStore) -> Verdict {
        let trusted = match &store.certificates {
            Err(why) if why == TOO_LARGE => return Verdict::TooLarge,
            Err(why) => return Verdict::Unusable(why.clone()),
            Ok(text) => usable(text),
        };
        let Some(trusted) = trusted else {
            return Verdict::Unusable("none of its certificates can be trusted".to_owned());
        };
        let Self { wanted, .. } = self;
        let probe = Probe::Tls(TlsQuestion { host: wanted.host.clone(), port: wanted.port, server_name: None });
        let count = certificates(&trusted).count();
        let Some(asked) = self.ask_trusting(true, probe, vec![trusted]).await else {
            return Verdict::NotKnown(self.not_asked(true));
        };
        match asked.answer.as_ref().ok().map(|it| &it.outcome) {
            Some(Ok(_)) => Verdict::Trusts,
            Some(Err(Cause::Tls { fault: TlsFault::UnknownAuthority, .. })) => Verdict::Not(count),
            _ => Verdict::NotKnown(rows::tls(At { row: row(store.named_by), inside: true }, &asked)),
        }
    }
}

fn row(named_by: NamedBy) -> &'static str {
    match named_by {
        NamedBy::AwsCaBundle => "trust AWS_CA_BUNDLE",
        NamedBy::RequestsCaBundle => "trust REQUESTS_CA_BUNDLE",
        NamedBy::SslCertFile => "trust SSL_CERT_FILE",
        NamedBy::NodeExtraCaCerts => "trust NODE_EXTRA_CA_CERTS",
        NamedBy::System => "trust system",
        NamedBy::Folder => "trust folder",
    }
}

/// Builds the table cell of the trust store at the index `at` of `all`. A trust store that does not trust the
/// endpoint's certificate chain is a problem only if the application has no other trust store to use instead
/// ([`instead`]). `passes` says whether the chain is trusted with the certificates that the user gave. `given` says in
/// words where the user's certificates come from.
fn trust(all: &[(&TrustStore, Verdict)], at: usize, passes: bool, given: &str) -> Cell {
    let (store, verdict) = &all[at];
    let name = row(store.named_by);
    let (text, fault) = match verdict {
        Verdict::Trusts if passes => return Cell::new(State::Good, format!("trusts it ({})", store.path)),
        Verdict::Trusts => return Cell::new(State::Note, format!("trusts it, and {given} does not ({})", store.path)),
        Verdict::NotKnown(cell) => return cell.clone(),
        Verdict::TooLarge => return Cell::new(State::Note, format!("{TOO_LARGE} ({})", store.path)),
        Verdict::Not(count) => ("does not trust it".to_owned(), format!("{} with {count} certificates", store.path)),
        Verdict::Unusable(why) => (why.clone(), format!("{} ({why})", store.path)),
    };
    // If the certificates that the user gave do not trust the endpoint's certificate chain either, the row `tls`
    // already explains the problem.
    if !passes {
        return Cell::new(State::Note, text);
    }
    if let Some(other) = instead(all, at, &Verdict::Trusts) {
        return Cell::new(State::Note, format!("{text}, but {other} does"));
    }
    if let Some(other) = instead(all, at, &Verdict::TooLarge) {
        return Cell::new(State::Note, format!("{text}, and {other} is {TOO_LARGE}"));
    }
    let help = match store.named_by.variable() {
        Some(variable) => format!("add the authority to the file that {variable} names"),
        None if all.iter().any(|(it, _)| it.named_by.variable().is_some()) => {
            "add the authority to the file that the variable names".to_owned()
        }
        None => "put the authority into a file in the container, and name it by SSL_CERT_FILE (Go, OpenSSL), AWS_CA_BUNDLE (AWS SDKs for Python and Go) or NODE_EXTRA_CA_CERTS (Node.js)".to_owned(),
    };
    let why = format!(
        "`{name}` from inside: the application's own certificates do not trust the chain that {given} trusts: {fault}; {help}"
    );
    Cell { state: State::Bad, text, why: Some(why), section: Some("trust") }
}

/// Returns the name of a trust store that has the verdict `wanted` and that an application may use instead of the trust
/// store at the index `at`. The trust stores are in the order of precedence, so an application may use one before `at`.
///
/// There are two further cases. The first is `NODE_EXTRA_CA_CERTS`: programs use its certificates together with those
/// of the system's file. The second is a folder of certificates. It is considered only if the store at `at` is the
/// system's file, because only Go reads a folder.
fn instead(all: &[(&TrustStore, Verdict)], at: usize, wanted: &Verdict) -> Option<&'static str> {
    let of = all[at].0.named_by;
    let before = all[..at].iter();
    let beside = all[at..].iter().filter(|(it, _)| of == NamedBy::NodeExtraCaCerts && it.named_by == NamedBy::System);
    let mut others = before.chain(beside).filter(|(_, verdict)| verdict == wanted);
    if let Some((store, _)) = others.next() {
        return Some(store.named_by.variable().unwrap_or("the system's file"));
    }
    let folder = all.iter().any(|(it, verdict)| it.named_by == NamedBy::Folder && verdict == wanted);
    (of == NamedBy::System && folder).then_some("its folder, which only Go reads,")
}

/// Builds the table cell for the application's own resolver. `by_dns` are the addresses that DNS gives for the host.
fn resolver(own: &Settings, host: &str, by_dns: &[IpAddr]) -> Cell {
    let shown = |all: &[IpAddr]| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let bad = |text: String, why: String| Cell {
        state: State::Bad,
        text,
        why: Some(format!("`{RESOLVER}` from inside: {why}")),
        section: None,
    };
    let entries = own.hosts().remove(&host.trim_end_matches('.').to_ascii_lowercase()).unwrap_or_default();
    if entries.is_empty() {
        if !own.asks_dns() {
            return bad(
                "no DNS".to_owned(),
                format!(
                    "/etc/nsswitch.conf of the container has `hosts: {}`, so programs with glibc do not ask DNS: add `dns` to this line",
                    own.sources().join(" ")
                ),
            );
        }
        return Cell::new(
            State::Good,
            format!("by DNS alone{}", options(own.resolv_conf.as_deref().unwrap_or_default())),
        );
    }
    let (text, first) = (shown(&entries), entries.iter().all(|it| by_dns.contains(it)));
    match (by_dns.is_empty(), first) {
        (true, _) => Cell::new(State::Note, format!("{text}, which only /etc/hosts knows")),
        (_, true) => Cell::new(State::Good, format!("{text}, by /etc/hosts and by DNS")),
        (_, false) => bad(
            format!("{text}, by /etc/hosts"),
            format!(
                "/etc/hosts of the container has {text} for {host}, and DNS has {}; the application uses the file, and each other row here asked DNS: remove the entry (`hostAliases` of the pod), or correct its address",
                shown(by_dns)
            ),
        ),
    }
}

/// Describes the search domains in a text in the format of `/etc/resolv.conf`. The description is empty if there are no
/// search domains.
fn options(text: &str) -> String {
    let of = |key: &str| text.lines().rev().find_map(|it| it.trim().strip_prefix(key)?.strip_prefix([' ', '\t']));
    let ndots = of("options").and_then(|it| it.split_whitespace().find_map(|it| it.strip_prefix("ndots:")));
    let search = of("search").map(str::split_whitespace);
    match (ndots, search.map(Iterator::count)) {
        (_, None | Some(0)) => String::new(),
        (ndots, Some(count)) => format!(", ndots {}, {count} search domains", ndots.unwrap_or("1")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_applications_own_file_of_hosts_takes_precedence() {
        let settings = |hosts: &str, nsswitch: &str| Settings {
            hosts: Some(hosts.to_owned()),
            nsswitch: Some(nsswitch.to_owned()),
            resolv_conf: Some("nameserver 10.43.0.10\nsearch foo.svc svc\noptions ndots:5\n".to_owned()),
            ..Settings::default()
        };
        let host = "minio.example.com";
        let dns: Vec<IpAddr> = vec!["10.43.0.7".parse().expect("an address")];
        let usual = "hosts: files dns # as usual";
        for (hosts, nsswitch, dns, state, says) in [
            ("127.0.0.1 localhost", usual, &dns[..], State::Good, "by DNS alone, ndots 5, 2 search domains"),
            ("127.0.0.1 localhost", "", &dns, State::Good, "by DNS alone"),
            ("10.43.0.7 other MINIO.example.com. # x", usual, &dns, State::Good, "by /etc/hosts and by DNS"),
            (
                "10.0.0.9 minio.example.com",
                usual,
                &dns,
                State::Bad,
                "has 10.0.0.9 for minio.example.com, and DNS has 10.43.0.7",
            ),
            ("10.0.0.9 minio.example.com", usual, &[], State::Note, "which only /etc/hosts knows"),
            ("# 10.0.0.9 minio.example.com", usual, &dns, State::Good, "by DNS alone"),
            ("10.0.0.9 xminio.example.com", usual, &dns, State::Good, "by DNS alone"),
            ("", "hosts: files", &dns, State::Bad, "add `dns` to this line"),
            ("", "hosts: files mymachines resolve [!UNAVAIL=return] myhostname", &dns, State::Good, "by DNS alone"),
        ] {
            let cell = resolver(&settings(hosts, nsswitch), host, dns);
            let said = format!("{} {}", cell.text, cell.why.clone().unwrap_or_default());
            assert!(cell.state == state && said.contains(says), "{hosts} {nsswitch}: {cell:?}");
        }
    }

    #[test]
    fn a_store_is_red_if_none_that_counts_before_it_trusts_the_chain() {
        use NamedBy::{AwsCaBundle, Folder, NodeExtraCaCerts, RequestsCaBundle, SslCertFile, System};
        let (yes, no) = (Verdict::Trusts, Verdict::Not(3));
        let gone = Verdict::Unusable("No such file".to_owned());
        let large = Verdict::TooLarge;
        for (stores, passes, expected) in [
            (&[(System, &yes)][..], true, &[State::Good][..]),
            (&[(System, &no)], true, &[State::Bad]),
            (&[(System, &no)], false, &[State::Note]),
            (&[(System, &yes)], false, &[State::Note]),
            // The file that a variable names takes precedence over the system's file. If only the variable's file
            // contains the authority, the application trusts the endpoint. If only the system's file contains it, the
            // application does not trust the endpoint.
            (&[(SslCertFile, &yes), (System, &no)], true, &[State::Good, State::Note]),
            (&[(SslCertFile, &no), (System, &yes)], true, &[State::Bad, State::Good]),
            (
                &[(AwsCaBundle, &yes), (RequestsCaBundle, &no), (SslCertFile, &gone), (System, &no)],
                true,
                &[State::Good, State::Note, State::Note, State::Note],
            ),
            (
                &[(AwsCaBundle, &gone), (SslCertFile, &yes), (System, &no)],
                true,
                &[State::Bad, State::Good, State::Note],
            ),
            // Node.js trusts the certificates of `NODE_EXTRA_CA_CERTS` in addition to those of the system.
            (&[(NodeExtraCaCerts, &no), (System, &yes)], true, &[State::Note, State::Good]),
            (&[(NodeExtraCaCerts, &no), (System, &no)], true, &[State::Bad, State::Bad]),
            (&[(System, &no), (Folder, &yes)], true, &[State::Note, State::Good]),
            // A trust store that is too large was not tried, so it may trust the endpoint's certificate chain.
            (&[(System, &large)], true, &[State::Note]),
            (&[(SslCertFile, &large), (System, &no)], true, &[State::Note, State::Note]),
            (&[(SslCertFile, &no), (System, &large)], true, &[State::Bad, State::Note]),
            (&[(System, &no), (Folder, &large)], true, &[State::Note, State::Note]),
        ] {
            let stores: Vec<(TrustStore, Verdict)> = stores
                .iter()
                .map(|(named_by, verdict)| {
                    let store =
                        TrustStore { named_by: *named_by, path: "/f".to_owned(), certificates: Ok(String::new()) };
                    (store, (*verdict).clone())
                })
                .collect();
            let judged: Vec<(&TrustStore, Verdict)> =
                stores.iter().map(|(it, verdict)| (it, verdict.clone())).collect();
            let cells: Vec<Cell> = (0..judged.len()).map(|at| trust(&judged, at, passes, "--ca")).collect();
            let states: Vec<State> = cells.iter().map(|it| it.state).collect();
            assert_eq!(states, expected, "{cells:?}");
            for cell in cells.iter().filter(|it| it.state == State::Bad) {
                let why = cell.why.as_deref().expect("a sentence");
                assert!(why.contains("that --ca trusts: /f") && cell.section == Some("trust"), "{why}");
            }
        }
    }
}
