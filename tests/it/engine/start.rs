//! Tests of networks and containers. A container must start as described, must be reachable only on loopback, and must
//! be removed if its start fails.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use parallax_engine::{Bind, ContainerSpec, EngineError, InlineFile, Owner, Port, Protocol, Ready};
use serial_test::serial;

use super::bench::{Bench, docker, objects};

/// A shell command that prints a kernel parameter of the container's network.
const LIMIT: &str = "echo limit=$(cat /proc/sys/net/ipv4/icmp_ratelimit)";
/// A shell script that prints the container's files and variables, and then serves one line to each connection.
const SERVE: &str = "cat /etc/given/file; echo env=$WORD; cat /bound/x; [ -w /mem ] && echo mem; \
                     touch /bound/y 2>/dev/null || echo read-only; [ -w /vol ] && echo vol; \
                     echo serving; while true; do echo hello | nc -l -p 7000; done";

#[tokio::test(flavor = "multi_thread")]
#[serial(engine)]
async fn a_container_has_all_requested_properties() {
    let Some(bench) = Bench::new().await else { return };
    let site = bench.site();
    let network = site.network("net").await.unwrap();
    assert!(network.gateway.is_some() && network.subnet.contains('/'), "{network:?}");
    std::fs::write(bench.scratch.path().join("x"), "bound\n").unwrap();
    let spec = ContainerSpec {
        env: BTreeMap::from([("WORD".into(), "given".into()), ("PATH".into(), "/bin".into())]),
        entrypoint: Some(vec!["/bin/busybox".into(), "sh".into(), "-c".into()]),
        command: vec![format!(
            "for tool in cat touch nc; do /bin/busybox ln -s busybox /bin/$tool; done; {LIMIT}; {SERVE}"
        )],
        binds: vec![Bind { host: bench.scratch.path().into(), container: "/bound".into(), read_only: true }],
        tmpfs: BTreeMap::from([("/mem".into(), "size=1m".into())]),
        volumes: vec!["/vol".into()],
        ports: vec![Port::tcp(7000), Port::udp(7000)],
        files: vec![InlineFile { path: "/etc/given/file".into(), mode: 0o600, bytes: b"file\n".to_vec() }],
        hostname: Some("second-name".into()),
        privileged: true,
        private_cgroup_namespace: true,
        sysctls: BTreeMap::from([("net.ipv4.icmp_ratelimit".into(), "0".into())]),
        ready: Ready::LogLine("serving".into()),
        ..bench.shell("server", &network.name, "")
    };
    let server = site.start(spec).await.unwrap();

    let printed = bench.engine.logs(&server.name, 100).await.unwrap();
    assert_eq!(printed, ["limit=0", "file", "env=given", "bound", "mem", "read-only", "vol", "serving"]);
    assert_eq!(bench.engine.logs(&server.name, 2).await.unwrap(), ["vol", "serving"]);
    assert_eq!(bench.engine.read_file(&server.name, "/etc/given/file").await.unwrap(), b"file\n");

    // The server prints `serving` shortly before it listens. Between these two moments, the proxy of the engine
    // already accepts connections, and closes them at once.
    let ask = || -> std::io::Result<String> {
        let mut answer = String::new();
        let mut stream = TcpStream::connect(server.tcp(7000).unwrap())?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"\n")?;
        stream.shutdown(std::net::Shutdown::Write)?;
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let until = std::time::Instant::now() + Duration::from_secs(10);
    let answer = loop {
        match ask() {
            Ok(answer) if !answer.is_empty() => break answer,
            other => assert!(std::time::Instant::now() < until, "{other:?}"),
        }
    };
    assert_eq!(answer, "hello\n");

    let ask = format!("for name in {} second-name; do /bin/busybox nslookup $name; done; echo asked", server.name);
    let client = ContainerSpec {
        ready: Ready::LogLine("asked".into()),
        ..bench.shell("client", &network.name, &format!("{ask}; exec /bin/busybox sleep 60"))
    };
    let client = site.start(client).await.unwrap();
    let found = bench.engine.logs(&client.name, 100).await.unwrap().join("\n");
    assert_eq!(found.matches(&server.address.to_string()).count(), 2, "{found}");

    site.close().await;
    bench.assert_nothing_left();
}

#[tokio::test(flavor = "multi_thread")]
#[serial(engine)]
async fn ports_are_published_on_loopback_only_and_everything_is_labelled() {
    let Some(bench) = Bench::new().await else { return };
    let site = bench.site();
    let network = site.network("net").await.unwrap();
    let spec = ContainerSpec {
        ports: vec![Port::tcp(7000), Port::udp(53)],
        volumes: vec!["/vol".into()],
        ..bench.shell("server", &network.name, "exec /bin/busybox sleep 60")
    };
    let server = site.start(spec).await.unwrap();

    let inspected = docker(&["inspect", "--format", "{{json .HostConfig}}", &server.name]);
    let config: serde_json::Value = serde_json::from_str(&inspected).unwrap();
    assert_eq!(config["PublishAllPorts"], false);
    let ports = docker(&["inspect", "--format", "{{json .NetworkSettings.Ports}}", &server.name]);
    let ports: BTreeMap<String, Vec<BTreeMap<String, String>>> = serde_json::from_str(&ports).unwrap();
    assert_eq!(ports.keys().collect::<Vec<_>>(), ["53/udp", "7000/tcp"]);
    for bindings in ports.values() {
        assert_eq!(bindings.iter().map(|one| one["HostIp"].as_str()).collect::<Vec<_>>(), ["127.0.0.1"]);
    }
    assert!(server.ports[&(7000, Protocol::Tcp)].ip().is_loopback());
    assert!(server.udp(53).is_some());

    let kinds: Vec<_> = objects(site.run()).iter().map(|one| one.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(kinds, ["container", "network", "volume"]);
    for (kind, name) in [("container", &server.name), ("network", &network.name)] {
        let label = r#"{{index .Labels "io.parallax.owner"}}"#
            .replace(".Labels", if kind == "container" { ".Config.Labels" } else { ".Labels" });
        let owner: Owner = docker(&[kind, "inspect", "--format", &label, name]).trim().parse().unwrap();
        assert_eq!(owner, Owner::this_process().unwrap(), "{kind}");
    }

    assert_eq!(site.close().await.removed.len(), 3);
    bench.assert_nothing_left();
}

#[tokio::test(flavor = "multi_thread")]
#[serial(engine)]
async fn a_container_that_fails_to_start_reports_the_reason_and_is_removed() {
    let Some(bench) = Bench::new().await else { return };
    let site = bench.site();
    let network = site.network("net").await.unwrap();
    let silent = ContainerSpec {
        ready: Ready::LogLine("never".into()),
        ready_within: Duration::from_secs(2),
        ..bench.shell("silent", &network.name, "echo waiting; exec /bin/busybox sleep 60")
    };
    let exits = ContainerSpec {
        ready: Ready::LogLine("never".into()),
        ..bench.shell("exits", &network.name, "echo the reason; exit 3")
    };
    let no_program =
        ContainerSpec { entrypoint: Some(vec!["/bin/none".into()]), ..bench.shell("no-program", &network.name, "") };
    let no_image = ContainerSpec { image: "parallax-none:1".into(), ..bench.shell("no-image", &network.name, "") };
    let no_network = bench.shell("no-network", "parallax-none", "true");
    let cases = [
        (silent, "did not print \"never\" within 2 s", Some("waiting")),
        (exits, "exited with code 3 before it printed \"never\"", Some("the reason")),
        (no_program, "/bin/none", None),
        (no_image, "image parallax-none:1", None),
        (no_network, "network parallax-none", None),
    ];
    for (spec, reason, log) in cases {
        let error = site.start(spec).await.unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
        if let Some(line) = log {
            assert_eq!(error.evidence(), [line]);
        }
    }
    let left = objects(site.run());
    assert_eq!(left.len(), 1, "a container that failed is still there: {left:?}");
    assert!(docker(&["network", "ls", "--format", "{{.Name}}"]).lines().all(|name| name != "parallax-none"));
    site.close().await;
    let late = site.network("late").await.unwrap_err();
    assert!(matches!(late, EngineError::Closing { .. }), "{late}");
    bench.assert_nothing_left();
}

#[tokio::test(flavor = "multi_thread")]
#[serial(engine)]
async fn a_container_is_stopped_paused_and_killed_by_name() {
    let Some(bench) = Bench::new().await else { return };
    let site = bench.site();
    let network = site.network("net").await.unwrap();
    let script = "trap 'echo bye; exit 7' TERM; echo up; while true; do /bin/busybox sleep 0.1; done";
    let spec = ContainerSpec { ready: Ready::LogLine("up".into()), ..bench.shell("loop", &network.name, script) };
    let name = site.start(spec).await.unwrap().name;
    let engine = &bench.engine;
    let status = || docker(&["inspect", "--format", "{{.State.Status}}", &name]).trim().to_owned();

    engine.pause(&name).await.unwrap();
    assert_eq!(status(), "paused");
    engine.unpause(&name).await.unwrap();
    engine.stop(&name, Duration::from_secs(10)).await.unwrap();
    assert_eq!(engine.wait_exit(&name).await.unwrap(), 7);
    assert!(!engine.is_running(&name).await.unwrap());
    engine.start_again(&name).await.unwrap();
    assert!(engine.is_running(&name).await.unwrap());
    assert_eq!(engine.locate("loop", &name).await.unwrap().name, name);
    engine.kill(&name, "SIGKILL").await.unwrap();
    assert_eq!(engine.wait_exit(&name).await.unwrap(), 137);
    site.close().await;
    bench.assert_nothing_left();
}
