//! The part of k3s's command line and config file that this image supports. An unknown flag or an unknown key of the
//! file is an error.

use std::net::Ipv4Addr;

use clap::{Args, CommandFactory, Parser, Subcommand};
use serde_json::{Map, Value};

use crate::arguments::Argument;
use crate::network::Range;
use crate::paths;
use crate::settings::{Join, Settings, Snapshotter};

/// The packaged components of k3s other than CoreDNS. The source-built node has none of them. The option `--disable` of
/// the source-built node accepts their names, as the same option of k3s does.
const ABSENT: [&str; 4] = ["local-storage", "metrics-server", "servicelb", "traefik"];

/// The text of `--version`. The text says `source-built`, so that nobody confuses this program with the published k3s.
const VERSION: &str = concat!("contract, parallax-node ", env!("CARGO_PKG_VERSION"), ", source-built");

/// The reason why the settings could not be read. Each reason is a mistake of the caller, so the exit code is 2.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FlagsError {
    /// The command line is not valid. The message comes from the parser clap and contains the flag.
    #[error(transparent)]
    Clap(#[from] clap::Error),
    /// The config file does not exist, or cannot be read.
    #[error("cannot read the config file {path}: {source}")]
    Read { path: String, source: std::io::Error },
    /// The config file is not YAML, not a mapping, or has an unknown key.
    #[error("the config file {path} is not valid: {reason}")]
    Config { path: String, reason: String },
    /// Two settings exclude each other, or a value is not usable.
    #[error("{0}")]
    Contradiction(String),
}

/// A node that behaves like k3s, from upstream Kubernetes components (source-built; not the published k3s).
#[derive(Debug, Parser)]
#[command(name = "k3s", version = VERSION, args_override_self = true, disable_help_subcommand = true)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a server node: the control plane, a kubelet, and kube-proxy.
    Server(Box<Server>),
    /// Run an agent node: a further node that joins an existing cluster.
    Agent(Box<Agent>),
}

impl Command {
    /// The name of the subcommand, and the path of the config file that it reads.
    fn name_and_config(&self) -> (&'static str, &str) {
        match self {
            Self::Server(it) => ("server", &it.common.config),
            Self::Agent(it) => ("agent", &it.common.config),
        }
    }
}

// This struct has no doc comment, because clap would print the comment in the `--help` of both subcommands. The struct
// contains the options that a server and an agent have in common.
#[derive(Debug, Args)]
struct Common {
    /// Config file (YAML) with the names of these flags as keys. A flag on the command line overrides its key; lists
    /// are joined.
    #[arg(long, short = 'c', default_value = paths::CONFIG)]
    config: String,
    /// Argument for the kubelet, `name=value`; replaces the default for that name. May be repeated.
    #[arg(long)]
    kubelet_arg: Vec<Argument>,
    /// Argument for kube-proxy, `name=value`; replaces the default for that name. May be repeated.
    #[arg(long)]
    kube_proxy_arg: Vec<Argument>,
    /// Snapshotter of containerd. `overlayfs` needs a file system that is not itself an overlay; `native` copies files
    /// and is slow.
    #[arg(long, default_value = "overlayfs")]
    snapshotter: Snapshotter,
    /// Path of the `resolv.conf` for CoreDNS and for pods with dnsPolicy Default; by default the container's own, if
    /// pods can reach a server in it.
    #[arg(long)]
    resolv_conf: Option<String>,
    /// Name of the node in the cluster; by default the host name.
    #[arg(long)]
    node_name: Option<String>,
    /// Secret with which agent nodes join. No agent can join a server that has no secret.
    #[arg(long, short = 't')]
    token: Option<String>,
    /// File that contains the secret; instead of --token.
    #[arg(long)]
    token_file: Option<String>,
}

#[derive(Debug, Args)]
#[command(args_override_self = true)]
struct Server {
    #[command(flatten)]
    common: Common,
    /// Parts that are not deployed, separated by commas: coredns, servicelb, traefik, local-storage, metrics-server.
    /// This image has only coredns.
    #[arg(long, value_delimiter = ',', value_parser = ["coredns", "local-storage", "metrics-server", "servicelb", "traefik"])]
    disable: Vec<String>,
    /// Additional host names or addresses in the apiserver's certificate, separated by commas.
    #[arg(long, value_delimiter = ',')]
    tls_san: Vec<String>,
    /// Argument for kube-apiserver, `name=value`; replaces the default for that name. May be repeated.
    #[arg(long)]
    kube_apiserver_arg: Vec<Argument>,
    /// Argument for kube-controller-manager, `name=value`; replaces the default for that name. May be repeated.
    #[arg(long, visible_alias = "kube-controller-arg")]
    kube_controller_manager_arg: Vec<Argument>,
    /// Argument for kube-scheduler, `name=value`; replaces the default for that name. May be repeated.
    #[arg(long)]
    kube_scheduler_arg: Vec<Argument>,
    /// File mode of the administrator's kubeconfig, octal.
    #[arg(long, default_value = "0600", value_parser = octal)]
    write_kubeconfig_mode: u32,
    /// IPv4 address range of pods.
    #[arg(long, default_value = "10.42.0.0/16")]
    cluster_cidr: Range,
    /// IPv4 address range of services.
    #[arg(long, default_value = "10.43.0.0/16")]
    service_cidr: Range,
    /// Address of the Service of CoreDNS; by default the tenth address of the service range (`10.43.0.10`).
    #[arg(long)]
    cluster_dns: Option<Ipv4Addr>,
    /// DNS domain of the cluster.
    #[arg(long, default_value = "cluster.local")]
    cluster_domain: String,
    /// Accepted and without effect: this image has no network policy controller.
    #[arg(long)]
    disable_network_policy: bool,
    /// Accepted and without effect: this image has no cloud controller.
    #[arg(long)]
    disable_cloud_controller: bool,
    /// Accepted and without effect: this image has no Helm controller.
    #[arg(long)]
    disable_helm_controller: bool,
}

#[derive(Debug, Args)]
#[command(args_override_self = true)]
struct Agent {
    #[command(flatten)]
    common: Common,
    /// URL of the apiserver that this node joins, for example `https://name:6443`. The kubelet and kube-proxy use
    /// exactly this URL.
    #[arg(long, short = 's')]
    server: Option<String>,
    /// Taint with which the node registers: `key=value:NoSchedule`. May be repeated.
    #[arg(long)]
    node_taint: Vec<String>,
}

/// Reads the settings from the command line of this process and from the config file. The default config file may be
/// absent.
pub(crate) fn from_process() -> Result<Settings, FlagsError> {
    let line: Vec<String> = std::env::args().collect();
    from_line(&line, |path| match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && path == paths::CONFIG => Ok(None),
        Err(error) => Err(error),
    })
}

/// Computes the settings from a command line and its config file. `read` returns the text of a file; for the default
/// config file it returns `None` if the file does not exist.
fn from_line(line: &[String], read: impl Fn(&str) -> std::io::Result<Option<String>>) -> Result<Settings, FlagsError> {
    let given = Line::try_parse_from(line)?.command;
    let (name, path) = given.name_and_config();
    let text = read(path).map_err(|source| FlagsError::Read { path: path.to_owned(), source })?;
    let Some(text) = text else { return settle(given, &read) };

    // The settings of the file are put before the flags of the command line, as in k3s. So a flag overrides the value
    // in the file, and lists are joined.
    let wrong = |reason: String| FlagsError::Config { path: path.to_owned(), reason };
    let mut joined: Vec<String> = line.iter().take(1).cloned().collect();
    joined.push(name.to_owned());
    joined.extend(config_flags(name, &text).map_err(wrong)?);
    let flags = line.iter().position(|word| word == name).map_or(line.len(), |at| at + 1);
    joined.extend_from_slice(&line[flags..]);
    // The command line alone was parsed above without an error, so an error here comes from the config file.
    let both = Line::try_parse_from(&joined).map_err(|error| wrong(error.to_string().trim_end().to_owned()))?;
    settle(both.command, &read)
}

/// Turns the text of a config file into flags of the command line, so that one parser checks the file and the command
/// line.
fn config_flags(subcommand: &str, text: &str) -> Result<Vec<String>, String> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let map: Map<String, Value> = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    let command = Line::command();
    let declared = command.find_subcommand(subcommand).expect("the subcommand is declared above");
    let known = |key: &str| {
        declared.get_arguments().any(|argument| {
            argument.get_long() == Some(key)
                || argument.get_visible_aliases().is_some_and(|aliases| aliases.contains(&key))
        })
    };
    let mut flags = Vec::new();
    for (key, value) in &map {
        if !known(key) || key == "config" {
            return Err(format!("unknown key `{key}`"));
        }
        let values = match value {
            Value::Array(values) => values.as_slice(),
            single => std::slice::from_ref(single),
        };
        for value in values {
            match value {
                Value::Bool(true) => flags.push(format!("--{key}")),
                Value::Bool(false) => {}
                Value::String(text) => flags.push(format!("--{key}={text}")),
                Value::Number(number) => flags.push(format!("--{key}={number}")),
                _ => return Err(format!("`{key}` must be a text or a list of texts")),
            }
        }
    }
    Ok(flags)
}

type Read<'a> = &'a dyn Fn(&str) -> std::io::Result<Option<String>>;

fn settle(given: Command, read: Read<'_>) -> Result<Settings, FlagsError> {
    match given {
        Command::Server(given) => settle_server(*given, read),
        Command::Agent(given) => settle_agent(*given, read),
    }
}

/// The secret with which agent nodes join, from `--token` or `--token-file`. `None` if neither is given. If the token
/// has k3s's long form, `K10<hash>::<user>:<password>`, only the password is used.
fn token(given: &Common, read: Read<'_>) -> Result<Option<String>, FlagsError> {
    let text = match (given.token.clone(), given.token_file.clone()) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            return Err(FlagsError::Contradiction("--token and --token-file exclude each other".to_owned()));
        }
        (Some(token), None) => token,
        (None, Some(path)) => match read(&path) {
            Ok(text) => text.unwrap_or_default(),
            Err(source) => return Err(FlagsError::Read { path, source }),
        },
    };
    let text = text.trim();
    let password = if text.starts_with("K10") { text.rsplit(':').next().unwrap_or(text) } else { text };
    // The apiserver reads the token from a CSV file, where these characters would end or quote the column.
    if password.is_empty() || password.contains(|c: char| c.is_whitespace() || matches!(c, ',' | '"')) {
        return Err(FlagsError::Contradiction(
            "the token is empty, or contains a space, a comma or a quote".to_owned(),
        ));
    }
    Ok(Some(password.to_owned()))
}

fn settle_agent(given: Agent, read: Read<'_>) -> Result<Settings, FlagsError> {
    let required = |flag: &str| FlagsError::Contradiction(format!("--{flag} is required"));
    let server = given.server.ok_or_else(|| required("server"))?;
    if !server.starts_with("https://") {
        return Err(FlagsError::Contradiction(format!("--server {server} is not a URL that begins with https://")));
    }
    let token = token(&given.common, read)?.ok_or_else(|| required("token"))?;
    let mut line = Line::try_parse_from(["k3s", "server"])?;
    // In k3s, an agent gets the address ranges and the domain from its server. Here, an agent node always uses the
    // default values of a server. Therefore the settings of a server without flags are computed first.
    let Command::Server(defaults) = &mut line.command else { unreachable!("the subcommand is `server`") };
    // The token in `given` is the token with which the agent node joins, and `joined` contains it. In a server's
    // settings, `token` admits agent nodes. An agent node admits no other nodes, so the token is removed here.
    defaults.common = Common { token: None, token_file: None, ..given.common };
    let joined = Join { server: server.trim_end_matches('/').to_owned(), token, taints: given.node_taint };
    Ok(Settings { join: Some(joined), ..settle(line.command, read)? })
}

/// Checks combinations of settings that clap cannot check, and returns the settings of a server.
fn settle_server(given: Server, read: Read<'_>) -> Result<Settings, FlagsError> {
    let cluster_dns = given.cluster_dns.unwrap_or_else(|| Settings::default_dns(given.service_cidr));
    if !given.service_cidr.contains(cluster_dns) {
        return Err(FlagsError::Contradiction(format!(
            "--cluster-dns {cluster_dns} is not in --service-cidr {}",
            given.service_cidr
        )));
    }
    if given.service_cidr.contains(given.cluster_cidr.nth(0)) || given.cluster_cidr.contains(given.service_cidr.nth(0))
    {
        return Err(FlagsError::Contradiction(format!(
            "--cluster-cidr {} and --service-cidr {} overlap",
            given.cluster_cidr, given.service_cidr
        )));
    }
    let token = token(&given.common, read)?;
    let disabled = |part: &str| given.disable.iter().any(|name| name == part);
    Ok(Settings {
        coredns: !disabled("coredns"),
        absent: ABSENT.into_iter().filter(|part| !disabled(part)).collect(),
        tls_san: given.tls_san,
        apiserver: given.kube_apiserver_arg,
        controller_manager: given.kube_controller_manager_arg,
        scheduler: given.kube_scheduler_arg,
        kubelet: given.common.kubelet_arg,
        proxy: given.common.kube_proxy_arg,
        kubeconfig_mode: given.write_kubeconfig_mode,
        cluster_range: given.cluster_cidr,
        service_range: given.service_cidr,
        cluster_dns,
        cluster_domain: given.cluster_domain,
        snapshotter: given.common.snapshotter,
        resolv_conf: given.common.resolv_conf,
        node_name: given.common.node_name,
        token,
        join: None,
    })
}

fn octal(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err(format!("`{text}` is not an octal mode such as 0644")),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The settings from the command line `k3s server FLAGS`, without a config file.
    pub(crate) fn settings(flags: &[&str]) -> Settings {
        with_config(flags, None).expect("valid flags")
    }

    fn with_config(flags: &[&str], config: Option<&str>) -> Result<Settings, FlagsError> {
        let line: Vec<String> = ["k3s", "server"].iter().chain(flags).map(ToString::to_string).collect();
        from_line(&line, |_| Ok(config.map(str::to_owned)))
    }

    /// The settings from the command line `k3s agent FLAGS`. `files` contains the path and the text of each file that
    /// exists.
    fn agent(flags: &[&str], files: &[(&str, &str)]) -> Result<Settings, FlagsError> {
        let line: Vec<String> = ["k3s", "agent"].iter().chain(flags).map(ToString::to_string).collect();
        from_line(&line, |path| Ok(files.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned())))
    }

    #[test]
    fn an_agent_joins_by_url_and_token() {
        let join = |server: &str, token: &str, taints: &[&str]| Join {
            server: server.to_owned(),
            token: token.to_owned(),
            taints: taints.iter().map(ToString::to_string).collect(),
        };
        let config = (paths::CONFIG, "server: https://a.example:6443\ntoken: K10abc::server:secret\n");
        for (flags, files, expected) in [
            (&["--server=https://node:6443/", "--token=t"][..], &[][..], join("https://node:6443", "t", &[])),
            (
                &["-s", "https://node:6443", "--token-file=/t", "--node-taint=a=b:NoSchedule"],
                &[("/t", "t\n")],
                join("https://node:6443", "t", &["a=b:NoSchedule"]),
            ),
            (&[], &[config], join("https://a.example:6443", "secret", &[])),
        ] {
            let settings = agent(flags, files).expect("valid");
            assert_eq!(settings.join, Some(expected));
        }
        for (flags, files, named) in [
            (&["--token=t"][..], &[][..], "--server is required"),
            (&["--server=https://node:6443"], &[], "--token is required"),
            (&["--server=http://node:6443", "--token=t"], &[], "begins with https://"),
            (&["--server=https://node:6443", "--token=t", "--token-file=/t"], &[], "exclude each other"),
            (&["--server=https://node:6443", "--token=a,b"], &[], "a comma"),
            (&["--server=https://node:6443", "--token-file=/t"], &[("/t", " \n")], "the token is empty"),
            (&["--tls-san=x"], &[], "--tls-san"),
            (&[], &[(paths::CONFIG, "tls-san: [x]\n")], "unknown key `tls-san`"),
        ] {
            let error = agent(flags, files).expect_err(named).to_string();
            assert!(error.contains(named), "{flags:?} {files:?}: {error}");
        }
        assert_eq!(settings(&["--token=K10abc::server:secret"]).token.as_deref(), Some("secret"));
    }

    #[test]
    fn defaults_are_those_of_k3s() {
        let settings = settings(&[]);
        assert!(settings.coredns);
        assert_eq!(settings.kubeconfig_mode, 0o600);
        assert_eq!(settings.cluster_range.to_string(), "10.42.0.0/16");
        assert_eq!(settings.cluster_dns.to_string(), "10.43.0.10");
        assert_eq!(settings.kubernetes_service().to_string(), "10.43.0.1");
        assert_eq!(settings.absent, ABSENT);
    }

    #[test]
    fn disable_repeats_and_takes_lists() {
        let settings = settings(&["--disable=traefik,servicelb", "--disable", "coredns"]);
        assert!(!settings.coredns);
        assert_eq!(settings.absent, ["local-storage", "metrics-server"]);
    }

    #[test]
    fn a_flag_wins_over_the_file_and_lists_join() {
        let config = "write-kubeconfig-mode: \"0644\"\ncluster-domain: file.local\ntls-san: [a.example]\n\
                      kube-apiserver-arg:\n  - v=1\ndisable: traefik\ndisable-helm-controller: true\n";
        let flags = ["--cluster-domain=flag.local", "--tls-san=b.example,10.0.0.1", "--kube-apiserver-arg=v=2"];
        let settings = with_config(&flags, Some(config)).expect("valid");
        assert_eq!(settings.kubeconfig_mode, 0o644);
        assert_eq!(settings.cluster_domain, "flag.local");
        assert_eq!(settings.tls_san, ["a.example", "b.example", "10.0.0.1"]);
        assert_eq!(settings.apiserver.iter().map(ToString::to_string).collect::<Vec<_>>(), ["--v=1", "--v=2"]);
        assert!(!settings.absent.contains(&"traefik"));
    }

    #[test]
    fn errors_name_the_wrong_setting() {
        for (flags, config, named) in [
            (&["--flannel-backend=none"][..], None, "--flannel-backend"),
            (&["--disable=trafik"], None, "trafik"),
            (&["--cluster-cidr=10.43.0.0/16"], None, "overlap"),
            (&["--cluster-dns=10.44.0.10"], None, "not in --service-cidr"),
            (&["--write-kubeconfig-mode=999"], None, "octal"),
            (&["--kubelet-arg==x"], None, "name=value"),
            (&[], Some("flannel-backend: none\n"), "unknown key `flannel-backend`"),
            (&[], Some("tls-san: {a: b}\n"), "`tls-san` must be"),
            (&[], Some("disable: nothing-like-it\n"), "nothing-like-it"),
            (&[], Some("- a list\n"), "is not valid"),
        ] {
            let error = with_config(flags, config).expect_err(named).to_string();
            assert!(error.contains(named), "{flags:?} {config:?}: {error}");
        }
    }
}
