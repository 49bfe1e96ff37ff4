//! The init process of the source-built node image: `k3s server` and `k3s agent` from upstream components.
//!
//! If the published k3s image is not available, another image takes its place, and this binary is `/bin/k3s` in that
//! image. Scenarios find the same flags, paths, ConfigMap names and defaults as in k3s (docs/facts.md#k3s).
//! `parallax-node` computes the arguments of etcd, containerd, kube-apiserver, controller-manager, scheduler, kubelet
//! and kube-proxy in pure functions ([`components`]), writes the certificates ([`pki`]), and runs the components
//! ([`boot`], [`supervise`]).
//!
//! Differences from k3s, apart from the components:
//!
//! - It uses etcd instead of SQLite.
//! - It has no Traefik, ServiceLB, local storage, metrics server, `kubectl` or `crictl`.
//! - It has one IPv4 range for pods and one for services.
//! - `registries.yaml`, `config.yaml.d` and unknown names in `config.yaml` are errors.
//! - An archive that cannot be imported ends the node.
//! - Without a usable `resolv.conf`, names outside the cluster fail at once instead of going to a public resolver.
//! - CoreDNS reads the API at the node's address.
//! - Logs are files under `/var/log/parallax-node`.
//!
//! `k3s agent` runs an agent node. This agent node joins in another way than an agent node of k3s. Before its start, it
//! needs two of the cluster's CAs, in `agent/server-ca.crt` and `agent/client-ca.crt`. Whoever starts the node puts
//! them there. The kubelet and kube-proxy get their certificates from the apiserver itself ([`approve`]). They always
//! use the URL of `--server`, so the node has no load balancer. The ranges of pods and services and the domain are
//! k3s's defaults. The hash of the CA in a long token is not checked.
//!
//! **Invariant**: when a component ends, the container ends, and standard error shows the component, its exit status
//! and its last lines. Nothing is restarted, because for a test a half-working cluster is worse than none.

mod agent;
mod approve;
mod arguments;
mod boot;
mod components;
mod coredns;
mod deploy;
mod dns;
mod error;
mod files;
mod flags;
mod images;
mod kubeconfig;
mod machine;
mod network;
mod paths;
mod pki;
mod probe;
mod reaper;
mod routes;
mod say;
mod settings;
mod supervise;
mod until;

use std::process::ExitCode;

use crate::error::NodeError;

/// The exit code after a failed start, or after a component ended.
const FAILED: u8 = 1;
/// The exit code for an invalid command line or config file.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    if std::process::id() == 1 {
        return reaper::run();
    }
    match flags::from_process() {
        Ok(settings) => serve(&settings),
        Err(flags::FlagsError::Clap(error)) => {
            // clap reports the texts of `--help` and `--version` as errors too, but the process must exit with 0 after
            // them.
            let code = if error.use_stderr() { USAGE } else { 0 };
            say::print_error(error.to_string().trim_end());
            ExitCode::from(code)
        }
        Err(error) => {
            say::print_error(format!("error: {error}"));
            ExitCode::from(USAGE)
        }
    }
}

fn serve(settings: &settings::Settings) -> ExitCode {
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        say::print_error("error: a TLS provider was installed twice: this is a defect of parallax-node");
        return ExitCode::from(FAILED);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(boot::run(settings)),
        Err(source) => Err(NodeError::Runtime(source)),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say::print_error(format!("error: {error}"));
            ExitCode::from(FAILED)
        }
    }
}
