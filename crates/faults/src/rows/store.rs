//! A break declares that a step must fail with a refused connection. During this break, the kernel kills the store
//! because of a lack of memory. The connection is then refused because of this kill, and not because of the break.
//! Therefore the failure must not count as proof.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::bench::Bench;
use crate::left::docker;
use crate::project::{Project, eventually};
use crate::row::{Row, Seen};

/// A scenario with a break that declares a refused connection, as if the store were down. But the break itself does not
/// stop the store.
const STORE: &str = r#"name: store
summary: A store that is asked after a while
fixtures:
  ca: { use: certificate-authority }
  store: { use: minio, host: s3.example.com, tls: { issuer: ca } }
  names: { use: dns-rewrite, from: "{{ store.host }}", to: "{{ store.service }}" }
vantages:
  app: { pod: { trust: [ca] } }
  host: { outside: { trust: [ca] } }
flow:
  - { id: begun, resource: { api-version: v1, kind: Namespace, name: default }, expect: { object: { kind: Namespace } } }
  - { id: still, from: host, dns: { name: nothing.example.org }, expect: { dns: no-such-name }, consistently: 10s }
  - { id: asked, needs: [still], from: app, http: { get: "{{ store.endpoint }}/minio/health/live" }, expect: { status: 200 }, eventually: 5s }
breaks:
  dead:
    change: { flow: { asked: { http: { get: "{{ store.endpoint }}/minio/health/ready" } } } }
    fails: { asked: { connect: refused } }
"#;

/// Limits the store's cgroup to the memory that the store uses now plus 8 MiB, and then allocates memory inside the
/// same cgroup. The kernel kills the store, which is the largest process in the cgroup. In both versions of cgroups,
/// the script needs three files: one with the memory use, one with the limit, and one to move a process into the
/// cgroup.
const STARVE: &str = r#"
for id in $(ctr --namespace k8s.io containers ls --quiet 'labels."io.kubernetes.container.name"==minio'); do
  pid=$(ctr --namespace k8s.io tasks ls | while read -r task its state; do [ "$task" = "$id" ] && [ "$state" = RUNNING ] && echo "$its"; done)
  [ -n "$pid" ] || continue
  group=$(sed -n -e 's/^[0-9]*:memory://p' -e 's/^0:://p' "/proc/$pid/cgroup" | head -n 1)
  for root in /sys/fs/cgroup/memory /sys/fs/cgroup; do
    [ -e "$root$group/cgroup.procs" ] && break
  done
  if [ -e "$root$group/memory.max" ]; then used=memory.current most=memory.max; else used=memory.usage_in_bytes most=memory.limit_in_bytes; fi
  (
    echo 0 > "$root$group/cgroup.procs" || exit 1
    echo $(( $(cat "$root$group/$used") + 8388608 )) > "$root$group/$most" || exit 1
    # Reads without an end and keeps what it read.
    exec timeout 5 tail /dev/zero
  ) >&2
  echo starved
done
exit 0
"#;

pub(super) fn rows() -> [Row; 1] {
    [Row {
        name: "store-oom",
        fault: "The kernel ends the store, which is out of memory",
        code: Some(3),
        says: &["container minio of pod", "OOMKilled", "something ended that nobody ended", "(exit 3,"],
        run: |bench, _| starved(bench),
    }]
}

fn starved(bench: &Bench) -> Result<Vec<Seen>> {
    let project = Project::of("store", STORE)?;
    let mut run = project.e2e(bench, &["store+dead"])?;
    run.wait_for_step("step-ended", "begun")?;
    let node = run.node()?;
    let mut starved = 0;
    // The kubelet restarts a container that ends repeatedly, with growing delays. The test kills the store again and
    // again, so that the store is down when the step asks.
    let asked = eventually(Duration::from_mins(2), || {
        starved += docker(&["exec", &node, "bash", "-c", STARVE]).map_or(0, |said| said.matches("starved").count());
        run.has("step-ended", "asked")
    });
    let mut seen = run.end("within a break that declares `connect: refused`")?;
    ensure!(asked, "the step `asked` did not end:\n{}", seen.text);
    if starved == 0 {
        seen.wrong.push("the store was never starved".to_owned());
    }
    Ok(vec![seen])
}
