//! Reads from a Service, without I/O, what its load balancer has to do.

use k8s_openapi::api::core::v1::Service;

/// The annotation by which a Service requests a pause: its value is then [`PAUSE_ASKED`]. During the pause, the load
/// balancer listens at no port. The length of the pause is in [`PAUSE_MS_ANNOTATION`]. After the pause, the controller
/// sets the value to [`PAUSE_OVER`].
pub(super) const PAUSE_ANNOTATION: &str = "load-balancer.parallax/pause";
pub(super) const PAUSE_ASKED: &str = "asked";
pub(super) const PAUSE_OVER: &str = "over";
/// The annotation with the requested length of the pause, in milliseconds.
pub(super) const PAUSE_MS_ANNOTATION: &str = "load-balancer.parallax/pause-ms";
/// The annotation with the length of the last pause, in milliseconds. The pause begins when HAProxy reports that the
/// ports are closed, and ends when HAProxy reports that they are open.
pub(super) const PAUSED_MS_ANNOTATION: &str = "load-balancer.parallax/paused-ms";

/// A port of the Service, as HAProxy serves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Port {
    /// The port number to which clients connect.
    pub(super) number: u16,
    /// The node port to which HAProxy sends the connections.
    pub(super) at_nodes: u16,
    /// Whether HAProxy terminates TLS at this port.
    pub(super) ends_tls: bool,
}

/// What a Service requests from its load balancer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The ports that HAProxy must open.
    pub(super) ports: Vec<Port>,
    /// The name of the Secret with the certificate; `None` if TLS ends at no port.
    pub(super) secret: Option<String>,
}

/// Returns the names of the two annotations to read from a Service: the annotation for the ports at which TLS ends, and
/// the annotation for the Secret. Each cloud uses its own pair of names. The two names of a pair are at the same index
/// in `ports` and `secrets`. The result is the first pair of which the Service has at least one annotation. If the
/// Service has none of these annotations, the result is the first pair of all.
pub(super) fn spelling<'a>(service: &Service, ports: &'a [String], secrets: &'a [String]) -> (&'a str, &'a str) {
    let has = |name: &str| service.metadata.annotations.as_ref().is_some_and(|it| it.contains_key(name));
    let mut all = ports.iter().map(String::as_str).zip(secrets.iter().map(String::as_str));
    let first = all.clone().next().unwrap_or_default();
    all.find(|(ports, secret)| has(ports) || has(secret)).unwrap_or(first)
}

/// The length of the pause that a Service requests, in milliseconds, as the unparsed text of its annotation. `None` if
/// the Service requests no pause.
pub(super) fn pause_ms(service: &Service) -> Option<&str> {
    let annotations = service.metadata.annotations.as_ref()?;
    let asked = annotations.get(PAUSE_ANNOTATION).is_some_and(|it| it == PAUSE_ASKED);
    annotations.get(PAUSE_MS_ANNOTATION).filter(|_| asked).map(String::as_str)
}

impl Wanted {
    /// Reads the ports of a Service and its annotations. `annotations` are the names of the two annotations: for the
    /// ports at which TLS ends, and for the Secret. `listening` contains the ports that HAProxy can open. The error
    /// says what is wrong with the Service.
    pub(super) fn of(service: &Service, annotations: (&str, &str), listening: &[u16]) -> Result<Self, String> {
        let annotation = |name: &str| service.metadata.annotations.as_ref().and_then(|it| it.get(name));
        let (ports_annotation, secret_annotation) = annotations;
        let mut tls = Vec::new();
        for text in annotation(ports_annotation).into_iter().flat_map(|it| it.split(',')) {
            let port: u16 = text.trim().parse().map_err(|_| format!("{ports_annotation}: \"{text}\" is not a port"))?;
            tls.push(port);
        }
        let secret = annotation(secret_annotation).filter(|it| !it.is_empty()).cloned();
        if secret.is_none() && !tls.is_empty() {
            return Err(format!("{ports_annotation} needs {secret_annotation}"));
        }
        let specified = service.spec.iter().flat_map(|it| it.ports.iter().flatten());
        let mut ports = Vec::new();
        for it in specified {
            let port = u16::try_from(it.port).ok().filter(|port| listening.contains(port));
            let port = port.ok_or_else(|| format!("port {} is not a port of this balancer", it.port))?;
            let at_nodes = it.node_port.and_then(|it| u16::try_from(it).ok());
            let at_nodes = at_nodes.ok_or_else(|| format!("port {port} has no node port"))?;
            ports.push(Port { number: port, at_nodes, ends_tls: tls.contains(&port) });
        }
        if let Some(port) = tls.iter().find(|port| !ports.iter().any(|it| it.number == **port)) {
            return Err(format!("{ports_annotation}: the Service has no port {port}"));
        }
        Ok(Self { ports, secret: secret.filter(|_| !tls.is_empty()) })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ports_and_secret_come_from_annotations_and_spec() {
        let of = |annotations: serde_json::Value| {
            let service = json!({
                "metadata": { "name": "s3", "annotations": annotations },
                "spec": { "type": "LoadBalancer", "ports": [
                    { "port": 443, "nodePort": 30443 }, { "port": 80, "nodePort": 30080 },
                ] },
            });
            let service = serde_json::from_value(service).expect("a Service");
            Wanted::of(&service, ("ports", "secret"), &[443, 80])
        };
        let ports = |tls: bool| {
            vec![
                Port { number: 443, at_nodes: 30443, ends_tls: tls },
                Port { number: 80, at_nodes: 30080, ends_tls: false },
            ]
        };
        let served = Wanted { ports: ports(true), secret: Some("cert".to_owned()) };
        assert_eq!(of(json!({ "ports": "443", "secret": "cert" })), Ok(served));
        let plain = Wanted { ports: ports(false), secret: None };
        assert_eq!(of(json!({})), Ok(plain.clone()));
        assert_eq!(of(json!({ "secret": "cert" })), Ok(plain));
        assert_eq!(of(json!({ "ports": "443" })), Err("ports needs secret".to_owned()));
        let wrong = |text: &str| of(json!({ "ports": text, "secret": "cert" })).expect_err("is refused");
        assert_eq!(wrong("443, x"), "ports: \" x\" is not a port");
        assert_eq!(wrong("8443"), "ports: the Service has no port 8443");
    }

    #[test]
    fn the_annotations_that_a_service_has_say_which_cloud_spells_them() {
        let (ports, secrets) = (["a-ports", "b-ports"].map(str::to_owned), ["a-cert", "b-cert"].map(str::to_owned));
        for (annotations, expected) in [
            (json!({}), ("a-ports", "a-cert")),
            (json!({ "b-ports": "443" }), ("b-ports", "b-cert")),
            (json!({ "b-cert": "s" }), ("b-ports", "b-cert")),
            (json!({ "a-cert": "s", "b-ports": "443" }), ("a-ports", "a-cert")),
        ] {
            let service = json!({ "metadata": { "annotations": annotations } });
            let service = serde_json::from_value(service).expect("a Service");
            assert_eq!(spelling(&service, &ports, &secrets), expected, "{annotations}");
        }
    }

    #[test]
    fn a_pause_is_made_once_for_each_time_that_it_is_asked_for() {
        let (pause, ms) = (PAUSE_ANNOTATION, PAUSE_MS_ANNOTATION);
        for (annotations, expected) in [
            (json!({}), None),
            (json!({ ms: "500" }), None),
            (json!({ pause: PAUSE_ASKED }), None),
            (json!({ pause: PAUSE_ASKED, ms: "500" }), Some("500")),
            (json!({ pause: PAUSE_OVER, ms: "500" }), None),
        ] {
            let service = json!({ "metadata": { "annotations": annotations } });
            let service = serde_json::from_value(service).expect("a Service");
            assert_eq!(pause_ms(&service), expected, "{annotations}");
        }
    }

    #[test]
    fn a_port_that_the_balancer_does_not_have_is_refused() {
        let service = json!({ "metadata": {}, "spec": { "ports": [{ "port": 8080, "nodePort": 30000 }] } });
        let service = serde_json::from_value(service).expect("a Service");
        let wrong = Wanted::of(&service, ("ports", "secret"), &[443]);
        assert_eq!(wrong, Err("port 8080 is not a port of this balancer".to_owned()));
    }
}
