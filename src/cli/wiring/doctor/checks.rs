//! The checks of the machine. Each check is one row of the output.

use std::net::TcpListener;
use std::path::Path;

use parallax_vocab::event::Failure;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::run;
use parallax_engine::preflight::{Finding, Severity};
use parallax_engine::{Engine, Facts, available_memory_mib};
use parallax_images::{Cache, ImageStore, Lock, Recipes, Row};
use parallax_record::{Noted as _, address};

/// The largest accepted difference between the clock of this machine and the clock of the engine's machine, in seconds.
const CLOCKS_APART_S: u64 = 5;
/// The environment variables that name a proxy for downloads, or the hosts for which no proxy is used.
const PROXIES: [&str; 8] =
    ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"];
/// The environment variables that name a file with certificates. The tools of image builds read these variables.
const BUNDLES: [&str; 6] =
    ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "PIP_CERT", "CARGO_HTTP_CAINFO"];

/// The result of a check of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    Ok,
    Warning,
    Error,
    /// The check could not be carried out.
    Unknown,
}

impl State {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "ERROR",
            Self::Unknown => "?",
        }
    }
}

/// One check with its result.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Check {
    /// The name of what was checked.
    pub(super) name: &'static str,
    pub(super) state: State,
    /// What the check observed, in words.
    pub(super) seen: String,
    /// The reason why the check matters.
    pub(super) why: &'static str,
    /// Instructions for the user. `None` if nothing needs to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fix: Option<String>,
}

impl Check {
    fn ok(name: &'static str, seen: String) -> Self {
        Self { name, state: State::Ok, seen, why: why(name), fix: None }
    }

    fn wrong(name: &'static str, state: State, seen: String, fix: impl Into<String>) -> Self {
        Self { name, state, seen, why: why(name), fix: Some(fix.into()) }
    }

    fn unknown(name: &'static str) -> Self {
        Self { name, state: State::Unknown, seen: "no engine tells".to_owned(), why: why(name), fix: None }
    }
}

/// Returns the reason why the check with this name matters.
fn why(name: &str) -> &'static str {
    match name {
        "engine" => "clusters, the external network and image builds are containers",
        "privileges" => "a cluster node is a privileged container",
        "cgroups" => "the kubelet of a node manages its own cgroups",
        "inotify" => "kubelet, apiserver and containerd watch files; at the limit they exit with `too many open files`",
        "disk" => "images, layers and the data of clusters are stored there",
        "memory" => "how many clusters and environments run at the same time depends on it",
        "ports" => "clusters and edges are reached by ports on loopback",
        "image sources" => "an image that is not here is pulled or built, which needs a network and time",
        "own programs" => "some images contain programs of Parallax; each run needs one of them, `agent`",
        "image pins" => "a registry can put another image under a tag, and a node's image runs privileged",
        "clock" => "certificates, tokens and presigned URLs are valid from the present on",
        "DNS" => "downloads for images need names; probes have their own name server",
        "proxy" => "downloads for images go through it; probes never do",
        "CA variables" => "the tools that build images trust the certificates in these files",
        _ => "",
    }
}

/// Runs all checks. `engine` is the engine that was found, or the reason why no engine answers.
pub(super) async fn all(engine: Result<&Engine, &Failure>) -> Vec<Check> {
    let mut checks = match engine {
        Ok(engine) => of_engine(engine.facts(), &run::findings(engine)),
        Err(failure) => without_engine(failure),
    };
    checks.push(ports());
    checks.extend(images(engine.ok()).await);
    checks.push(engine.map_or_else(|_| Check::unknown("clock"), |it| clock(&it.facts().time, it.facts().asked_s)));
    checks.push(dns(&std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default()));
    let set = |name: &str| std::env::var(name).ok().filter(|it| !it.is_empty());
    checks.push(proxy(&set));
    checks.push(ca_variables(&set));
    checks
}

fn of_engine(facts: &Facts, findings: &[Finding]) -> Vec<Check> {
    let gib = |bytes: u64| format!("{} GiB", bytes >> 30);
    let seen = |about: &str| match about {
        "engine" => format!("{} on {}, {}", facts.version, facts.os, facts.storage_driver),
        "privileges" if facts.rootless => "rootless".to_owned(),
        "privileges" => "runs as root".to_owned(),
        "cgroups" => format!("v{}", facts.cgroup_version),
        "inotify" => match (facts.inotify_instances, facts.inotify_watches) {
            (Some(instances), Some(watches)) => format!("{instances} instances, {watches} watches"),
            _ => "on another machine".to_owned(),
        },
        "disk" => facts.disk.map_or_else(
            || format!("{} is on another machine", facts.root),
            |disk| format!("{} free in {}", gib(disk.free_bytes), facts.root),
        ),
        "memory" => {
            let available =
                available_memory_mib().map_or_else(String::new, |mib| format!(", {} GiB available", mib >> 10));
            format!("{}{available}", gib(facts.memory_bytes))
        }
        _ => String::new(),
    };
    let row = |about: &'static str| match findings.iter().find(|it| it.about == about) {
        None => Check::ok(about, seen(about)),
        Some(finding) => {
            let state = if finding.severity == Severity::Error { State::Error } else { State::Warning };
            Check::wrong(about, state, finding.what.clone(), finding.fix.clone())
        }
    };
    Finding::ABOUT.into_iter().map(row).collect()
}

fn without_engine(failure: &Failure) -> Vec<Check> {
    let fix = failure.fix.clone().unwrap_or_else(|| "see the message below".to_owned());
    let row = |about: &'static str| match about {
        "engine" => Check::wrong(about, State::Error, failure.what.clone(), fix.clone()),
        _ => Check::unknown(about),
    };
    Finding::ABOUT.into_iter().map(row).collect()
}

fn ports() -> Check {
    match TcpListener::bind(("127.0.0.1", 0)) {
        Ok(_) => Check::ok("ports", "a port on loopback can be opened".to_owned()),
        Err(error) => Check::wrong(
            "ports",
            State::Error,
            format!("no port on loopback can be opened: {error}"),
            "allow this user to listen on 127.0.0.1: `ip link set lo up`, or the limits of its sandbox",
        ),
    }
}

async fn images(engine: Option<&Engine>) -> [Check; 3] {
    let looked = async {
        let cache = Cache::open().noted("open the cache")?;
        let lock = Lock::of(&Recipes::shipped(), &cache).noted("read images.lock")?;
        let binaries = parallax_images::Binaries::of_this_program().noted("find the programs of images")?;
        let store = engine.map(|engine| engine as &dyn ImageStore);
        parallax_images::list(&lock, &binaries, &cache, store).await.noted("look for images")
    };
    match looked.await {
        Some(rows) => [image_sources(&rows), own_programs(&rows), image_pins(&rows)],
        None => ["image sources", "own programs", "image pins"].map(Check::unknown),
    }
}

fn image_sources(rows: &[Row]) -> Check {
    let name = "image sources";
    let missing: Vec<&str> = rows.iter().filter(|row| row.at.is_empty()).map(|row| row.name.as_str()).collect();
    let here = rows.len() - missing.len();
    if missing.is_empty() {
        return Check::ok(name, format!("all {here} images are here"));
    }
    let seen = format!("{here} of {} images are here; missing: {}", rows.len(), missing.join(", "));
    Check::wrong(
        name,
        State::Warning,
        seen,
        "`parallax images fetch` gets them beforehand; a run gets those that it needs",
    )
}

/// Checks that every image that contains a program of Parallax can be built. If the user has copied only the file
/// `parallax` to this machine, the programs are here only if they are embedded in that file.
fn own_programs(rows: &[Row]) -> Check {
    let name = "own programs";
    let missing: Vec<&str> = rows.iter().filter_map(|row| row.unknown.as_deref()).collect();
    let Some(first) = missing.first() else {
        return Check::ok(name, "the programs of Parallax that images contain are here".to_owned());
    };
    Check::wrong(
        name,
        State::Error,
        format!("{} of {} images cannot be built: {first}", missing.len(), rows.len()),
        "use the file of `cargo xtask dist`, which contains the programs, or keep them beside `parallax`, where \
         `cargo build --workspace` puts them",
    )
}

fn image_pins(rows: &[Row]) -> Check {
    let name = "image pins";
    let published = rows.iter().filter(|row| row.reference.is_some()).count();
    let by_tag: Vec<&str> =
        rows.iter().filter(|row| row.is_pinned_by_tag_only()).map(|row| row.name.as_str()).collect();
    if by_tag.is_empty() {
        return Check::ok(name, format!("images.lock has the digests of all {published} published images"));
    }
    let seen = format!(
        "images.lock has no digest for {} of {published} published images: {}",
        by_tag.len(),
        by_tag.join(", ")
    );
    Check::wrong(
        name,
        State::Warning,
        seen,
        "where a registry can be reached, `parallax images list` shows the digest of each pulled image; compare it with \
         the publisher's, and write it into images.lock. `--k3s built` runs no published node image",
    )
}

/// Checks the clock of the engine's machine. `theirs` is the engine's time. `asked` and `answered` are the times of
/// this machine before the question and after the answer, in seconds since the Unix epoch. The engine's time should
/// lie between `asked` and `answered`.
fn clock(theirs: &str, (asked, answered): (u64, u64)) -> Check {
    let Ok(theirs) = OffsetDateTime::parse(theirs, &Rfc3339) else { return Check::unknown("clock") };
    let theirs_s = u64::try_from(theirs.unix_timestamp()).unwrap_or_default();
    let apart_s = asked.saturating_sub(theirs_s).max(theirs_s.saturating_sub(answered));
    if apart_s <= CLOCKS_APART_S {
        return Check::ok("clock", format!("{} UTC, as the engine's machine", theirs.date()));
    }
    let seen = format!("this machine and the engine's are {apart_s} s apart");
    Check::wrong(
        "clock",
        State::Error,
        seen,
        "synchronise both clocks; a virtual machine falls behind when its host sleeps",
    )
}

fn dns(resolv_conf: &str) -> Check {
    let servers: Vec<&str> =
        resolv_conf.lines().filter_map(|line| line.trim().strip_prefix("nameserver")).map(str::trim).collect();
    if servers.is_empty() {
        let seen = "/etc/resolv.conf names no server".to_owned();
        return Check::wrong("DNS", State::Warning, seen, "name one there, unless all images are here already");
    }
    Check::ok("DNS", format!("asks {}", servers.join(", ")))
}

fn proxy(set: &dyn Fn(&str) -> Option<String>) -> Check {
    let all: Vec<String> = PROXIES.iter().filter_map(|name| Some(format!("{name}={}", address(&set(name)?)))).collect();
    Check::ok("proxy", if all.is_empty() { "none is set".to_owned() } else { all.join(", ") })
}

fn ca_variables(set: &dyn Fn(&str) -> Option<String>) -> Check {
    let name = "CA variables";
    let all: Vec<(&str, String)> = BUNDLES.iter().filter_map(|name| Some((*name, set(name)?))).collect();
    let unreadable: Vec<String> = all
        .iter()
        .filter(|(_, path)| std::fs::File::open(Path::new(path)).is_err())
        .map(|(name, path)| format!("{name}={path}"))
        .collect();
    if !unreadable.is_empty() {
        let seen = format!("no such file: {}", unreadable.join(", "));
        return Check::wrong(name, State::Error, seen, "name a file that you can read, or unset the variable");
    }
    let all: Vec<String> = all.iter().map(|(name, path)| format!("{name}={path}")).collect();
    Check::ok(name, if all.is_empty() { "none is set".to_owned() } else { all.join(", ") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_says_why_it_matters() {
        let names = ["ports", "image sources", "own programs", "image pins", "clock", "DNS", "proxy", "CA variables"];
        for name in Finding::ABOUT.into_iter().chain(names) {
            assert!(!why(name).is_empty(), "{name}");
        }
    }

    #[test]
    fn what_the_engine_lacks_is_its_row() {
        let finding = Finding {
            about: "disk",
            severity: Severity::Error,
            what: "little is free".to_owned(),
            fix: "make room".to_owned(),
        };
        let rows = of_engine(&Facts { cgroup_version: 2, ..Facts::default() }, &[finding]);
        let states: Vec<(&str, State)> = rows.iter().map(|row| (row.name, row.state)).collect();
        assert!(states.contains(&("disk", State::Error)) && states.contains(&("cgroups", State::Ok)), "{states:?}");
        let failure = Failure { what: "none answers".to_owned(), fix: Some("start one".to_owned()), evidence: vec![] };
        let rows = without_engine(&failure);
        assert_eq!((rows[0].state, rows[0].fix.as_deref()), (State::Error, Some("start one")));
        assert!(rows[1..].iter().all(|row| row.state == State::Unknown));
    }

    #[test]
    fn a_copy_without_its_programs_is_told_so() {
        let whole = Row { name: "pause".to_owned(), ..Row::default() };
        let why = "image k3s needs the program parallax-node, which is not beside the running program";
        let lacks = Row { unknown: Some(why.to_owned()), ..Row::default() };
        let check = own_programs(&[whole.clone(), lacks]);
        assert_eq!((check.state, check.seen), (State::Error, format!("1 of 2 images cannot be built: {why}")));
        assert_eq!(own_programs(&[whole]).state, State::Ok);
    }

    #[test]
    fn a_published_image_without_a_digest_is_named() {
        let row = |name: &str, reference: Option<&str>, digest: Option<&str>| Row {
            name: name.to_owned(),
            reference: reference.map(str::to_owned),
            digest: digest.map(str::to_owned),
            ..Row::default()
        };
        let built = row("agent", None, None);
        let pinned = row("minio", Some("quay/minio:1"), Some("sha256:1"));
        let check = image_pins(&[built.clone(), pinned.clone(), row("k3s", Some("rancher/k3s:1"), None)]);
        assert_eq!(check.state, State::Warning);
        assert_eq!(check.seen, "images.lock has no digest for 1 of 2 published images: k3s");
        assert_eq!(image_pins(&[built, pinned]).state, State::Ok);
    }

    #[test]
    fn clocks_variables_and_name_servers_are_judged() {
        let now = OffsetDateTime::from_unix_timestamp(1_800_000_000).expect("a time");
        let at = |apart: i64| (now + time::Duration::seconds(apart)).format(&Rfc3339).expect("a text");
        let asked = (1_800_000_000, 1_800_000_001);
        assert_eq!(clock(&at(2), asked).state, State::Ok);
        assert_eq!(clock(&at(60), asked).state, State::Error);
        assert_eq!(clock(&at(-60), asked).state, State::Error);
        assert_eq!(clock("", asked).state, State::Unknown);
        // A slow engine answers long after it has read its clock. The time that the answer takes does not count as a
        // difference.
        assert_eq!(clock(&at(3), (1_800_000_000, 1_800_000_020)).state, State::Ok);
        assert_eq!(dns("# nothing\n").state, State::Warning);
        assert_eq!(dns("nameserver 192.0.2.1\n").seen, "asks 192.0.2.1");
        let set = |name: &str| (name == "SSL_CERT_FILE").then(|| "/nonexistent/ca.pem".to_owned());
        assert_eq!(ca_variables(&set).state, State::Error);
        assert_eq!(ca_variables(&|_| None).state, State::Ok);
        for value in ["http://me:hunter22@proxy.example.com:3128", "me:hunter22@proxy.example.com:3128"] {
            for name in PROXIES {
                let seen = proxy(&|it| (it == name).then(|| value.to_owned())).seen;
                assert!(seen.contains("@proxy.example.com:3128") && !seen.contains("hunter22"), "{seen}");
            }
        }
    }
}
