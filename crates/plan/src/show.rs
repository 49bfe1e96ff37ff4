//! Renders a plan as text, for `parallax plan`.

use std::fmt;

use super::cluster::Plan;
use super::expected::{AtOnce, Expected};
use parallax_language::scenario::model::Discovery;

/// Renders the plan as text, with the expected durations. Clusters, environments and variants are in the order in which
/// the run will start them.
pub fn show(plan: &Plan, expected: &Expected) -> String {
    Words(plan, expected).to_string()
}

struct Words<'a>(&'a Plan, &'a Expected);

impl fmt::Display for Words<'_> {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(text, self.0, self.1)
    }
}

fn write(text: &mut fmt::Formatter<'_>, plan: &Plan, expected: &Expected) -> fmt::Result {
    for cluster in &plan.clusters {
        let end = expected.clusters.get(&cluster.name).copied().flatten();
        let end = end.map_or_else(String::new, |end| format!(", done {end:.0} s after the first cluster begins"));
        writeln!(text, "cluster {}{end}", cluster.name)?;
        for (what, arguments) in [
            ("apiserver", &cluster.traits.apiserver_args),
            ("controller-manager", &cluster.traits.controller_manager_args),
            ("kubelet", &cluster.traits.kubelet_args),
        ] {
            for argument in arguments {
                writeln!(text, "  {what} --{argument}")?;
            }
        }
        for name in &cluster.traits.tls_san {
            writeln!(text, "  apiserver's certificate also for {name}")?;
        }
        match cluster.traits.discovery {
            Some(Discovery::Narrow) => writeln!(text, "  apiserver open to anybody for the issuer's two documents")?,
            Some(Discovery::Anonymous) => writeln!(text, "  apiserver open to anybody (anonymous-auth)")?,
            Some(Discovery::None) | None => {}
        }
        for agent in &cluster.traits.agents {
            let at = agent.server.as_deref().unwrap_or("the server's own address");
            let late = if agent.late { ", when a step starts it" } else { "" };
            let trust = agent.trust.as_ref().map_or_else(String::new, |it| format!(" and trusts {it} there"));
            writeln!(text, "  node {} joins at {at}{trust}{late}", agent.name)?;
        }
        for object in cluster.objects() {
            writeln!(text, "  object {object}")?;
        }
        for rule in cluster.dns_rules() {
            let below = if rule.subdomains { " and each name below it" } else { "" };
            writeln!(text, "  dns {}{below} -> {} ({})", rule.from, rule.to, rule.place.in_words())?;
        }
        for (_, host) in cluster.dns_hosts() {
            writeln!(text, "  dns {} -> the container of {}", host.name, host.address_of)?;
        }
        for (id, container) in cluster.containers() {
            let ports: Vec<String> = container.ports().map(|port| port.to_string()).collect();
            let ports = ports.join(",");
            writeln!(text, "  beside it {}:{ports} ({id}, image {})", container.host, container.image)?;
        }
        for edge in cluster.edges() {
            let below = if edge.subdomains { " and each name below it" } else { "" };
            writeln!(
                text,
                "  edge {}:{}{below} -> node port {} -> pod port {}",
                edge.host, edge.port, edge.node_port, edge.target_port
            )?;
        }
        for environment in &cluster.environments {
            let took = time(expected.environments.get(&environment.namespace));
            writeln!(text, "  namespace {}{took}", environment.namespace)?;
            for (declared, effective) in environment.hosts.iter().filter(|(declared, effective)| declared != effective)
            {
                writeln!(text, "    host {declared} is {effective}")?;
            }
            for (id, contributions) in &environment.fixtures {
                let images = contributions.images.join(", ");
                let images = if images.is_empty() { images } else { format!(", images {images}") };
                writeln!(text, "    fixture {id}: {} objects{images}", contributions.objects.len())?;
                for source in &contributions.sources {
                    writeln!(text, "      and those of `{}`, which only a run executes", source.command())?;
                }
            }
            for variant in &environment.variants {
                let took = time(expected.variants.get(&variant.id));
                writeln!(text, "    {} ({} steps){took}", variant.id, variant.variant.scenario.steps().len())?;
            }
        }
    }
    let images: Vec<&str> = plan.images().into_iter().collect();
    writeln!(text, "images of fixtures: {}", images.join(", "))?;
    closing(text, expected)
}

fn time(seconds: Option<&Option<f64>>) -> String {
    seconds.copied().flatten().map_or_else(String::new, |seconds| format!(", {seconds:.1} s"))
}

fn closing(text: &mut fmt::Formatter<'_>, expected: &Expected) -> fmt::Result {
    let AtOnce { jobs, environments, clusters } = expected.at_once;
    match (&expected.from_run, expected.total) {
        (None, _) => writeln!(text, "expected time: not known, for no run of this project ended on this machine yet"),
        (Some(run), Some(total)) => {
            writeln!(
                text,
                "expected time: {total:.0} s with {environments} environments and {clusters} clusters at once, of which {jobs} come up, by runs up to {run}"
            )
        }
        (Some(run), None) => writeln!(
            text,
            "expected time: not known, for {} of {} environments did not run yet; the others' is from runs up to {run}",
            expected.unknown,
            expected.environments.len()
        ),
    }
}
