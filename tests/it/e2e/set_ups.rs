//! Tests `parallax check` on one kept store, with a right set-up and with wrong ones. In a wrong set-up, a proxy in
//! front of the store, an application or an option has one fault. The first row with `FAILED` must name this fault.

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use super::bench::{Project, no_engine, reserve};
use super::check::{Standing, first_red, in_one_line};
use super::proxy::{Fault, Proxy};
use super::standing::cluster;
use crate::engine::bench::docker;

const SCENARIO: &str = r#"name: stands
summary: A store that is used from both sides, and in which pods sign in with their token
fixtures:
  ca: { use: certificate-authority }
  oidc: { use: oidc-irsa, region: eu-central-1 }
  store: { use: minio, host: minio.example.com, tls: { issuer: ca }, buckets: [photos], region: eu-central-1, openid: "{{ oidc.settings }}" }
  names: { use: dns-rewrite, from: "{{ store.host }}", to: "{{ store.service }}" }
vantages:
  app: { pod: { trust: [ca, cluster], service-account: app } }
  host: { outside: { trust: [ca] } }
flow:
  - { id: signin, from: app, sts: { role: "{{ oidc.role-arn }}" }, eventually: 60s }
  - { id: put, from: app, s3: { put: photos/a.txt, body: hello } }
  - { id: got, needs: [put], from: host, s3: { get: photos/a.txt }, expect: { body: hello } }
"#;
const HOST: &str = "minio.example.com";
/// The options of a check that tests web identity. MinIO derives the name of this role from the audience
/// `sts.amazonaws.com`.
const SIGN_IN: &str = "--service-account app --role arn:minio:iam:eu-central-1::role/oxnUw3DAuQF1uggjXGxI2AmW8IA";
const ANOTHER_ROLE: &str = "arn:minio:iam:eu-central-1::role/AnotherRole0000000000000000";

/// Adds the proxy's port to the store's Service in the cluster. So the endpoint of the check has the same port inside
/// and outside the cluster.
async fn published(standing: &Standing<'_>, port: u16) {
    let services: Api<Service> = Api::namespaced(cluster(&standing.run).await, &standing.namespace);
    let ports = json!({ "spec": { "ports": [{ "name": "proxied", "port": port, "targetPort": 9000 }] } });
    services.patch("minio", &PatchParams::default(), &Patch::Strategic(ports)).await.unwrap();
}

/// Creates a pod of an application with these environment variables. The pod does not have to run, because `check` only
/// reads the settings of the pod.
async fn application(standing: &Standing<'_>, name: &str, variables: &[(&str, &str)]) {
    let env: Vec<_> = variables.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    let container = json!({ "name": "app", "image": "parallax.local/none:1", "env": env });
    let spec = json!({ "containers": [container], "nodeSelector": { "there-is": "no-such-node" } });
    let pod: Pod = serde_json::from_value(json!({ "metadata": { "name": name }, "spec": spec })).unwrap();
    let pods: Api<Pod> = Api::namespaced(cluster(&standing.run).await, &standing.namespace);
    pods.create(&PostParams::default(), &pod).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_red_row_of_each_wrong_set_up_names_its_cause() {
    if no_engine() {
        return;
    }
    let _reserved = reserve(1);
    let project = Project::new();
    project.scenario("stands", SCENARIO);
    let standing = Standing::up(&project, "stands");
    let address = "{{range .NetworkSettings.Networks}}{{println .IPAddress}}{{end}}";
    let world = docker(&["inspect", "-f", address, &standing.world]).lines().next().unwrap().trim().to_owned();
    let proxy = Proxy::start(HOST, format!("{world}:443").parse().unwrap(), &standing.authority());
    published(&standing, proxy.port).await;
    let authority = project.path("proxy.pem");
    std::fs::write(&authority, &proxy.authority).unwrap();

    let url = format!("https://{HOST}:{}", proxy.port);
    let inner = format!("https://minio.{}.svc.cluster.local", standing.namespace);
    application(&standing, "right", &[("AWS_ENDPOINT_URL", &url), ("AWS_ROLE_ARN", "arn")]).await;
    application(&standing, "inner", &[("AWS_ENDPOINT_URL_S3", &inner), ("AWS_ENDPOINT_URL_STS", &url)]).await;
    application(&standing, "no-sts", &[("AWS_ENDPOINT_URL_S3", &url), ("AWS_ROLE_ARN", "arn")]).await;
    let right = format!("--name-server {} --ca {}", proxy.name_server, authority.display());
    let check = |endpoint: &str, before: &str, args: &str| {
        let before = format!("export AWS_REGION=eu-central-1; {before}");
        standing.check_at(endpoint, &before, &format!("{right} {args}"))
    };

    // First, check the set-up without a fault.
    let (code, said) = check(&url, "", &format!("--app pod/right {SIGN_IN}"));
    assert_eq!(code, 0, "{said}");
    for part in [
        &format!("signs for {url}"),
        "large body 2 MiB",
        "response headers the same on both sides",
        "signed headers arrive as they were signed",
        "(Service minio)",
    ] {
        assert!(in_one_line(&said).contains(part), "{part:?} is not in:\n{said}");
    }
    // A harmless change by a proxy must give a note and no failure.
    for (fault, notes) in
        [(Fault::MergesSlashes, &["merged on the way"][..]), (Fault::Marks, &["only here: via", "etag: W/"])]
    {
        proxy.has(fault.clone());
        let (code, said) = check(&url, "", "--large-body 0");
        assert_eq!(code, 0, "{fault:?}\n{said}");
        for note in notes {
            assert!(said.contains(note), "{fault:?}: {note:?} is not in:\n{said}");
        }
    }

    let host = format!("minio.{}.svc.cluster.local:9000", standing.namespace);
    let host_says = format!("and the store saw {host}");
    let not_found = "HTTP/1.1 404 Not Found\r\ncontent-length: 21\r\n\r\ndefault backend - 404";
    let to_https = "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
    let proxied = |fault: Fault, row, says| (fault, url.clone(), "", String::new(), row, says);
    let other = |endpoint: &str, before, args: &str, row, says| {
        (Fault::None, endpoint.to_owned(), before, args.to_owned(), row, says)
    };
    let wrong_keys = "export AWS_SECRET_ACCESS_KEY=another-secret-key;";
    for (fault, endpoint, before, args, row, says) in [
        // An application signs URLs for the cluster-internal name of the Service. In the first row, this name is the
        // endpoint of the check. In the second row, a variable of the application contains the name.
        other(&inner, "", "", "name", "does not exist outside the cluster"),
        other(&url, "", "--app pod/inner", "application", "so its links are signed for that host"),
        // A proxy adds a path prefix or removes one.
        proxied(Fault::AddsPrefix("/s3"), "store", "the path that the store saw is /s3/photos"),
        proxied(Fault::AddsPrefix("/storage"), "store", "the path that the store saw is /storage/photos"),
        proxied(Fault::StripsSegment, "keys", "without the prefix `/photos`"),
        // A proxy encodes or decodes the path again.
        proxied(Fault::Replaces("%", "%25"), "odd key", "the path was encoded once more after it was signed"),
        proxied(Fault::Replaces("%20", "+"), "odd key", "the store saw `/photos/parallax-check/"),
        proxied(Fault::Replaces("%2541", "%41"), "odd key", "the path was decoded once too often"),
        // A proxy changes a header that the AWS SDK for Go signs.
        proxied(Fault::Compresses, "signed headers", "whose signature covers `accept-encoding: identity` is refused"),
        // The links should be valid for 7 days, but the credentials that sign the links expire earlier.
        other(&url, "", &format!("{SIGN_IN} --links-for 7d"), "link", "for 7 d ends with them after"),
        // An application sends its token to AWS and not to its own store.
        other(&url, "", "--app pod/no-sts", "application", "has no AWS_ENDPOINT_URL_STS"),
        proxied(Fault::Host(host), "keys", &host_says),
        proxied(Fault::LimitsBodies, "large body", "client_max_body_size"),
        proxied(Fault::AddsCors, "cors", "let only one of ingress and store add it"),
        proxied(Fault::Late, "clock", "set both clocks by NTP"),
        proxied(Fault::Answers(not_found), "store", "default backend - 404"),
        proxied(Fault::Answers(to_https), "store", "the store speaks TLS at this port"),
        other(&url, wrong_keys, "", "keys", "compare the secret key with the store's"),
        other(&url, "", "--region us-east-1", "keys", "set the client's region to eu-central-1"),
        other(&url, "", &format!("--service-account app --role {ANOTHER_ROLE}"), "sign-in", "is not defined"),
    ] {
        proxy.has(fault.clone());
        let (code, said) = check(&endpoint, before, &args);
        assert_eq!(code, 1, "{fault:?} {args}\n{said}");
        first_red(&said, row, says);
    }
    assert_eq!(standing.pods().await, Vec::<String>::new());
}
