//! The plan in words, for `parallax plan`.

use std::fmt::Write as _;

use super::cluster::Plan;

/// Renders the plan as people read it.
pub fn show(plan: &Plan) -> String {
    let mut text = String::new();
    write(&mut text, plan).expect("a String takes every write");
    text
}

fn write(text: &mut String, plan: &Plan) -> std::fmt::Result {
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
