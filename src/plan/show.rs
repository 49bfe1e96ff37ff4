//! The plan in words, for `parallax plan`.

use std::fmt;

use super::cluster::Plan;

/// Renders the plan as people read it.
pub fn show(plan: &Plan) -> String {
    Words(plan).to_string()
}

struct Words<'a>(&'a Plan);

impl fmt::Display for Words<'_> {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(text, self.0)
    }
}

fn write(text: &mut fmt::Formatter<'_>, plan: &Plan) -> fmt::Result {
    for cluster in &plan.clusters {
        writeln!(text, "cluster {}", cluster.name)?;
        for (what, arguments) in
            [("apiserver", &cluster.traits.apiserver_args), ("kubelet", &cluster.traits.kubelet_args)]
        {
            for argument in arguments {
                writeln!(text, "  {what} --{argument}")?;
            }
        }
        for name in &cluster.traits.tls_san {
            writeln!(text, "  apiserver's certificate also for {name}")?;
        }
        for rule in cluster.dns_rules() {
            writeln!(text, "  dns {} -> {} (.{} key)", rule.from, rule.to, rule.place.as_str())?;
        }
        for edge in cluster.edges() {
            writeln!(
                text,
                "  edge {}:{} -> node port {} -> pod port {}",
                edge.host, edge.port, edge.node_port, edge.target_port
            )?;
        }
        for environment in &cluster.environments {
            writeln!(text, "  namespace {}", environment.namespace)?;
            for (declared, effective) in environment.hosts.iter().filter(|(declared, effective)| declared != effective)
            {
                writeln!(text, "    host {declared} is {effective}")?;
            }
            for (id, contributions) in &environment.fixtures {
                let images = contributions.images.join(", ");
                let images = if images.is_empty() { images } else { format!(", images {images}") };
                writeln!(text, "    fixture {id}: {} objects{images}", contributions.objects.len())?;
            }
            for variant in &environment.variants {
                writeln!(text, "    {} ({} steps)", variant.id, variant.variant.scenario.flow.len())?;
            }
        }
    }
    let images: Vec<&str> = plan.images().into_iter().collect();
    writeln!(text, "images of fixtures: {}", images.join(", "))
}
