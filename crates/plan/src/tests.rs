//! Tests of the order and of the expected duration, with a small project.

use std::collections::BTreeSet;

use parallax_vocab::VariantId;
use parallax_vocab::event::{Event, EventKind, Outcome, RECORD_FORMAT, RunStarted, VariantEnded};

use super::cluster::{ClusterPlan, EnvironmentPlan};
use super::{AtOnce, History, Namespaces, Order, Plan, build_in};
use parallax_language::fixture::Library;
use parallax_language::scenario::Loaded;

const SCENARIO: &str = "\
name: NAME
summary: A name resolves
fixtures:
  ca: { use: certificate-authority }
  store: { use: minio, host: minio.example.com, tls: { issuer: ca } }
  names: { use: dns-rewrite, from: \"{{ store.host }}\", to: \"{{ store.service }}\" }
vantages:
  app: { pod: { trust: [ca] } }
flow:
  - { id: name, from: app, dns: { name: \"{{ store.host }}\" }, expect: { address: \"{{ store.cluster-ip }}\" } }
breaks:
  no-rewrite:
    change: { fixtures: { names: remove } }
    fails: { name: { dns: no-such-name } }
  misspelt:
    change: { flow: { name: { dns: { name: minio.example.org } } } }
    fails: { name: { dns: no-such-name, message: example.org } }
";

/// A plan of one scenario for each name. The break `misspelt` of a scenario shares the baseline's environment; the
/// break `no-rewrite` has an environment of its own.
fn plan(names: &[&str]) -> Plan {
    planned(&names.iter().map(|name| (*name, SCENARIO.to_owned())).collect::<Vec<_>>())
}

/// The plan of scenarios, each given as its name and its text. `NAME` in the text is replaced by the name.
fn planned(texts: &[(&str, String)]) -> Plan {
    planned_in(texts, Namespaces::Each)
}

fn planned_in(texts: &[(&str, String)], namespaces: Namespaces<'_>) -> Plan {
    let library = Library::shipped();
    let read = |(name, text): &(&str, String)| {
        let text = text.replace("NAME", name);
        Loaded::read(&library, name, "scenario.yaml", text.as_bytes()).unwrap_or_else(|errors| panic!("{errors:?}"))
    };
    let scenarios: Vec<Loaded> = texts.iter().map(read).collect();
    let all: BTreeSet<VariantId> =
        scenarios.iter().flat_map(|it| it.variants.iter().map(|variant| variant.id.clone())).collect();
    build_in(&library, &scenarios, &all, namespaces).expect("there is a plan")
}

fn order(plan: &Plan) -> Vec<String> {
    plan.variants().map(|(.., variant)| variant.id.to_string()).collect()
}

/// The events of a run of the plan. The start of the cluster takes 5 s, the set-up of each environment 2 s, and each
/// variant the time in `took_ms`.
fn events(plan: &Plan, took_ms: &[(&str, u64)]) -> Vec<Event> {
    let event = |at_ms, event| Event { at_ms, event };
    let setup = |at_ms, id: &str| event(at_ms, EventKind::SetupStarted { id: id.into(), title: String::new() });
    let done = |at_ms, id: &str, took_ms, error| {
        event(at_ms, EventKind::SetupEnded { id: id.into(), took_ms, detail: String::new(), error })
    };
    let mut events = vec![
        event(
            0,
            EventKind::RunStarted(RunStarted {
                format: RECORD_FORMAT,
                run: "r1".into(),
                parallax: String::new(),
                started: String::new(),
                filters: vec![],
                variants: vec![],
                directory: String::new(),
                demands: parallax_vocab::event::Demands::default(),
                seed: None,
                again: vec![],
                shard: None,
                standing: false,
                versions: Vec::new(),
            }),
        ),
        setup(1_000, "cluster/c1"),
    ];
    for environment in plan.clusters.iter().flat_map(|cluster| &cluster.environments) {
        let id = format!("environment/{}", environment.namespace);
        events.push(setup(6_000, &id));
        events.push(done(8_000, &id, 2_000, None));
    }
    for (variant, took_ms) in took_ms {
        let ended = VariantEnded { variant: (*variant).into(), outcome: Outcome::AsExpected, took_ms: *took_ms };
        events.push(event(9_000, EventKind::VariantEnded(ended)));
    }
    events.push(event(20_000, EventKind::CleanedUp { removed: 0, elsewhere: false, remaining: vec![], took_ms: 500 }));
    events
}

const TOOK: [(&str, u64); 6] = [
    ("a", 1_000),
    ("a+misspelt", 1_000),
    ("a+no-rewrite", 3_000),
    ("b", 4_000),
    ("b+misspelt", 3_000),
    ("b+no-rewrite", 500),
];

#[test]
fn the_longest_environments_and_clusters_come_first_and_steps_tell_of_those_that_nobody_knows() {
    let plan = plan(&["a", "b"]);
    let mut history = History::default();
    history.learn(&plan, &events(&plan, &TOOK));
    let whole = plan.clone().arranged(Order::LongestFirst(&history), 1);
    // The environment of the baseline `b` takes 9 s, and the environment of the break `b+no-rewrite`, which waits for
    // the baseline, takes 2.5 s. The sum is 11.5 s. For the scenario `a`, the same two durations are 4 s and 5 s, and
    // the sum is 9 s.
    assert_eq!(order(&whole), ["b", "b+misspelt", "a", "a+misspelt", "a+no-rewrite", "b+no-rewrite"]);
    let mut two = plan.clone();
    let of_b = |it: &EnvironmentPlan| it.namespace.starts_with('b');
    let of = |b: bool| plan.clusters[0].environments.iter().filter(|it| of_b(it) == b).cloned().collect();
    let cluster =
        |name: &str, environments| ClusterPlan { name: name.to_owned(), environments, ..plan.clusters[0].clone() };
    two.clusters = vec![cluster("c1", of(false)), cluster("c2", of(true))];
    let two = two.arranged(Order::LongestFirst(&history), 1);
    assert_eq!(order(&two), ["b", "b+misspelt", "b+no-rewrite", "a", "a+misspelt", "a+no-rewrite"]);

    history.variants.remove(&VariantId::from("a+misspelt"));
    let partly = plan.arranged(Order::LongestFirst(&history), 1);
    assert_eq!(order(&partly), order(&whole));
    // One duration in the environment `a` is now missing, so the duration of this environment is estimated: its set-up,
    // and two variants with one look-up each. The duration of the waiting break `a+no-rewrite` is added.
    let priority = |namespace: &str| partly.environment(namespace).map(|it| it.priority);
    assert_eq!((priority("a"), priority("b")), (Some(9_200), Some(11_500)));
}

#[test]
fn what_clusters_wait_for_has_the_higher_priority() {
    let plan = plan(&["a", "b"]);
    let mut history = History::default();
    history.learn(&plan, &events(&plan, &TOOK));
    let mut three = plan.clone();
    let cluster = |name: &str| ClusterPlan { name: name.to_owned(), ..plan.clusters[0].clone() };
    three.clusters = vec![cluster("c1"), cluster("c2"), cluster("c3")];
    // Each cluster needs 5 s to start. Its longest environment takes 9 s, and the break that waits for this environment
    // takes 2.5 s.
    let urgencies = |places| {
        let arranged = three.clone().arranged(Order::LongestFirst(&history), places);
        let longest = |it: &ClusterPlan| it.environments[0].priority;
        arranged.clusters.iter().map(|it| (it.priority, longest(it))).collect::<Vec<_>>()
    };
    assert_eq!(urgencies(1), [(49_500, 44_500), (33_000, 28_000), (16_500, 11_500)]);
    // Three clusters can exist at the same time. The second cluster has more work than the third. So no cluster waits
    // for the end of the second, and nothing is added to its priority. The first cluster has less work (28 s) than the
    // two after it together (33 s). The second cluster occupies one of the three places until the end. So the 33 s are
    // divided by the other two places, and half of the 33 s is added to the priority of the first cluster.
    assert_eq!(urgencies(3), [(33_000, 28_000), (16_500, 11_500), (16_500, 11_500)]);
}

#[test]
fn a_seed_gives_one_order_and_changes_nothing_else() {
    let plan = plan(&["a", "b", "c"]);
    let shuffled = |seed| plan.clone().arranged(Order::Shuffled(seed), 2);
    assert_eq!(order(&shuffled(7)), order(&shuffled(7)));
    let orders: BTreeSet<Vec<String>> = (0..20).map(|seed| order(&shuffled(seed))).collect();
    assert!(orders.len() > 15, "{} orders of 20 seeds", orders.len());
    for seed in 0..20 {
        let other = shuffled(seed);
        assert_eq!(order(&other).into_iter().collect::<BTreeSet<_>>(), order(&plan).into_iter().collect());
        for environment in &plan.clusters[0].environments {
            let same = other.environment(&environment.namespace).expect("is there");
            assert_eq!((&same.edges, &same.hosts), (&environment.edges, &environment.hosts));
        }
    }
}

#[test]
fn variants_that_may_share_an_environment_have_their_own_if_they_must_not() {
    let environments = |namespaces| {
        let plan = planned_in(&[("a", SCENARIO.to_owned())], namespaces);
        let environments = plan.clusters.iter().flat_map(|it| &it.environments);
        environments.map(|it| (it.namespace.clone(), it.variants.len())).collect::<Vec<_>>()
    };
    assert_eq!(environments(Namespaces::Each), [("a".to_owned(), 2), ("a-no-rewrite".to_owned(), 1)]);
    let own = ["a", "a-no-rewrite", "a-misspelt"].map(|it| (it.to_owned(), 1));
    assert_eq!(environments(Namespaces::Unshared), own);
}

#[test]
fn variants_that_share_a_name_of_the_cluster_get_clusters_of_their_own_if_nothing_is_shared() {
    let front = "{ use: apiserver-front, public: api.example.com, internal: api-internal.example.com, issuer: ca }";
    let scenario = format!(
        "name: a\nsummary: b\nfixtures:\n  ca: {{ use: certificate-authority }}\n  front: {front}\nvantages: {{ host: {{ outside: {{}} }} }}\n\
         flow:\n  - {{ id: a, from: host, tls: {{ host: api.example.com }}, expect: {{ certificate-name: api.example.com }} }}\n\
         breaks:\n  other:\n    change: {{ flow: {{ a: {{ tls: {{ host: none.example.com }} }} }} }}\n    fails: {{ a: {{ dns: no-such-name }} }}\n"
    );
    let clusters = |text: &str, namespaces| planned_in(&[("a", text.to_owned())], namespaces).clusters.len();
    let of = |text: &str| (clusters(text, Namespaces::Each), clusters(text, Namespaces::Unshared));
    assert_eq!(of(&scenario), (1, 2));
    // All variants ask the same name server, and the step `b` reads its log. Therefore, with `Unshared`, the two
    // variants need two clusters.
    let asks = "name: a\nsummary: b\nvantages: { host: { outside: {} } }\nflow:\n  \
        - { id: a, from: host, dns: { name: a.example.org }, expect: { dns: no-such-name } }\n  \
        - { id: b, log: { of: world }, expect: { line: a.example.org }, eventually: 1s }\nbreaks:\n  \
        other:\n    change: { flow: { a: { dns: { name: b.example.org } } } }\n    fails: { b: { mismatch: line } }\n";
    assert_eq!(of(asks), (1, 2));
    assert_eq!(
        of(&asks
            .replace(
                "log: { of: world }, expect: { line: a.example.org }",
                "dns: { name: a.example.org }, from: host, expect: { dns: no-such-name }"
            )
            .replace("mismatch: line", "mismatch: dns")),
        (1, 1)
    );
}

#[test]
fn lint_finds_two_environments_that_claim_the_name_of_a_container() {
    let front = "{ use: apiserver-front, public: api.example.com, internal: api-internal.example.com, issuer: ca }";
    let scenario = |changed: &str| {
        format!(
            "name: a\nsummary: b\nfixtures:\n  ca: {{ use: certificate-authority }}\n  other: {{ use: certificate-authority }}\n  front: {front}\n\
             vantages: {{ host: {{ outside: {{}} }} }}\nflow:\n  - {{ id: a, from: host, dns: {{ name: a.example.org }}, expect: {{ dns: no-such-name }} }}\n\
             breaks:\n  other:\n    change: {changed}\n    fails: {{ a: {{ mismatch: dns }} }}\n"
        )
    };
    let check = |changed: &str| {
        let library = Library::shipped();
        let loaded = Loaded::read(&library, "a", "scenario.yaml", scenario(changed).as_bytes()).expect("a scenario");
        let all = loaded.variants.iter().map(|it| it.id.clone()).collect();
        super::check(&library, &[loaded], &all).map_err(|error| error.to_string())
    };
    assert_eq!(check("{ flow: { a: { dns: { name: b.example.org } } } }"), Ok(()));
    let refused = check("{ fixtures: { front: { issuer: other } } }").expect_err("a conflict");
    assert!(refused.contains("both claim the name api"), "{refused}");
}

#[test]
fn the_expected_time_is_that_of_the_schedule() {
    let plan = plan(&["a", "b"]);
    let mut history = History::default();
    let at_once = |environments| AtOnce { jobs: 8, environments, clusters: 1 };
    let nothing = plan.expected(&history, at_once(2));
    assert_eq!((nothing.total, nothing.unknown, nothing.from_run), (None, 4, None));

    history.learn(&plan, &events(&plan, &TOOK));
    let plan = plan.arranged(Order::LongestFirst(&history), 1);
    // The run takes 1 s before the cluster starts, 5 s until environments begin, and 0.5 s to clean up. The four
    // environments take 9 s, 5 s, 4 s and 2.5 s.
    for (environments, total) in [(1, 27.0), (2, 18.0), (8, 15.5)] {
        let expected = plan.expected(&history, at_once(environments));
        assert_eq!((expected.total, expected.unknown), (Some(total), 0), "{environments} environments");
        assert_eq!(expected.environments["b"], Some(9.0));
        assert_eq!(expected.variants[&VariantId::from("b")], Some(4.0));
    }
    let json = serde_json::to_value(plan.expected(&history, at_once(2))).expect("is JSON");
    assert_eq!((&json["at-once"]["environments"], &json["clusters"]["c1"]), (&2.into(), &16.5.into()));

    // The set-up of an environment needs a free job, but its variants do not. With one job, the set-ups of 2 s each run
    // one after the other. This does not delay the end, because the longest environment begins first.
    let one = plan.expected(&history, AtOnce { jobs: 1, environments: 8, clusters: 1 });
    assert_eq!(one.total, Some(1.5 + 5.0 + 9.0));

    // The second cluster is a copy of the first one. The limit `clusters` decides whether the two clusters run one
    // after the other or at the same time.
    let mut two = plan.clone();
    two.clusters.push(ClusterPlan { name: "c2".to_owned(), ..plan.clusters[0].clone() });
    for (clusters, total) in [(1, 34.5), (2, 27.0), (8, 27.0)] {
        let expected = two.expected(&history, AtOnce { jobs: 2, environments: 2, clusters });
        assert_eq!(expected.total, Some(total), "{clusters} clusters");
    }

    history.variants.remove(&VariantId::from("b+no-rewrite"));
    let partly = plan.expected(&history, at_once(2));
    assert_eq!((partly.total, partly.unknown), (None, 1));
    assert_eq!(partly.environments["b-no-rewrite"], None);
}

#[test]
fn what_did_not_come_up_tells_nothing() {
    let plan = plan(&["a"]);
    let mut all = events(&plan, &[]);
    for event in &mut all {
        if let EventKind::SetupEnded { error, .. } = &mut event.event {
            *error = Some(parallax_vocab::event::Failure { what: String::new(), fix: None, evidence: vec![] });
        }
    }
    let failed = VariantEnded {
        variant: "a".into(),
        outcome: Outcome::Error {
            failure: parallax_vocab::event::Failure { what: String::new(), fix: None, evidence: vec![] },
        },
        took_ms: 1,
    };
    all.push(Event { at_ms: 9_000, event: EventKind::VariantEnded(failed) });
    let mut history = History::default();
    history.learn(&plan, &all);
    assert_eq!((history.environments.len(), history.variants.len()), (0, 0));
}

/// Tests that an environment which shares its cluster does not keep a declared host name, even if no other environment
/// declares the same host. A break of another scenario may use the declared name as a name that does not exist.
#[test]
fn an_environment_among_others_uses_no_name_as_it_is_written() {
    let only = |host: &str| {
        let breaks = SCENARIO.find("breaks:").expect("it has breaks");
        SCENARIO[..breaks].replace("minio.example.com", host)
    };
    let hosts = |plan: &Plan| {
        let environments = plan.clusters.iter().flat_map(|it| &it.environments);
        environments.flat_map(|it| it.hosts.values().cloned()).collect::<Vec<_>>()
    };
    let two = planned(&[("a", only("files.example.com")), ("b", only("minio.example.com"))]);
    assert_eq!(hosts(&two), ["files.a.example.com", "minio.b.example.com"]);
    assert_eq!(hosts(&planned(&[("a", only("files.example.com"))])), ["files.example.com"]);
}

#[test]
fn a_crowd_is_spread_over_clusters() {
    let names: Vec<String> = (0..260).map(|number| format!("s{number}")).collect();
    let plan = plan(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let sizes: Vec<usize> = plan.clusters.iter().map(|cluster| cluster.environments.len()).collect();
    assert_eq!(sizes, [128, 128, 128, 116, 20], "each environment has one edge");
    assert!(
        plan.clusters.iter().flat_map(super::ClusterPlan::edges).all(|edge| (28_000..28_128).contains(&edge.node_port))
    );
}

#[test]
fn what_a_repeat_applies_to_the_whole_cluster_parts_clusters_too() {
    let role = |verb: &str| {
        let object = format!(
            "{{ apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {{ name: reader }}, rules: [{{ apiGroups: [\"\"], resources: [pods], verbs: [{verb}] }}] }}"
        );
        let apply = format!("{{ id: role, apply: {{ objects: [{object}] }} }}");
        let flow = SCENARIO.find("breaks:").expect("it has breaks");
        format!("{}  - {{ id: rounds, repeat: {{ times: 2, flow: [{apply}] }} }}\n", &SCENARIO[..flow])
    };
    let parted = planned(&[("a", role("get")), ("b", role("list"))]);
    assert_eq!(parted.clusters.len(), 2);
    let shared = planned(&[("a", role("get")), ("b", role("get"))]);
    assert_eq!(shared.clusters.len(), 1);
}

#[test]
fn parts_hold_every_variant_once_and_whole_scenarios_and_are_balanced() {
    let mut texts: Vec<(String, String)> = (0..9).map(|it| (format!("s{it}"), SCENARIO.to_owned())).collect();
    // This additional scenario takes longer than all other scenarios together.
    let long = SCENARIO.replace("flow:\n", "flow:\n  - { id: wait, from: app, dns: { name: \"{{ store.host }}\" }, consistently: 3m, expect: { address: \"{{ store.cluster-ip }}\" } }\n");
    texts.push(("long".to_owned(), long));
    let texts: Vec<(&str, String)> = texts.iter().map(|(name, text)| (name.as_str(), text.clone())).collect();
    let plan = planned(&texts);
    let all: BTreeSet<VariantId> = plan.variants().map(|(.., it)| it.id.clone()).collect();
    for of in 1..=10 {
        let parts = plan.parts(of);
        assert_eq!(parts, plan.parts(of), "it is the same each time");
        assert!(parts.iter().all(|part| !part.is_empty()), "{of}: {parts:?}");
        assert_eq!(parts.iter().map(BTreeSet::len).sum::<usize>(), all.len(), "{of}");
        assert_eq!(parts.iter().flatten().cloned().collect::<BTreeSet<_>>(), all, "{of}");
        for part in &parts {
            assert_eq!(part.len() % 3, 0, "a scenario is not divided: {part:?}");
        }
    }
    let parts = plan.parts(2);
    assert_eq!(parts[0].len(), 3, "the long one alone: {parts:?}");
    assert_eq!(plan.parts(11).iter().filter(|part| part.is_empty()).count(), 1);
}

#[test]
fn scenarios_of_a_cluster_stay_together_where_that_is_shorter() {
    let own = |trait_: &str| SCENARIO.replace("fixtures:\n", &format!("cluster: {trait_}\nfixtures:\n"));
    let (a, b) = (own("{ discovery: anonymous }"), SCENARIO.to_owned());
    let plan = planned(&[("a1", a.clone()), ("a2", a), ("b1", b.clone()), ("b2", b)]);
    assert_eq!(plan.clusters.len(), 2);
    for part in plan.parts(2) {
        let of: BTreeSet<char> = part.iter().filter_map(|it| it.as_str().chars().next()).collect();
        assert_eq!(of.len(), 1, "each part needs one cluster: {part:?}");
    }
}

#[test]
fn only_cluster_scoped_objects_of_a_flow_part_clusters() {
    let with = |objects: &str| {
        SCENARIO.replace("flow:\n", &format!("flow:\n  - {{ id: first, apply: {{ objects: [{objects}] }} }}\n"))
    };
    let crd = "{ apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: { name: a }, \
               spec: { group: example.com, scope: SCOPE, names: { kind: Thing } } }";
    let thing = "{ apiVersion: example.com/v1, kind: Thing, metadata: { name: a } }";
    for (objects, is_wide) in [
        ("{ apiVersion: v1, kind: ConfigMap, metadata: { name: a } }".to_owned(), false),
        ("{ apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: { name: a }, value: 1 }".to_owned(), true),
        (
            "{ apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: { name: a }, provisioner: b }".to_owned(),
            true,
        ),
        (crd.replace("SCOPE", "Namespaced"), true),
        (thing.to_owned(), true),
        (format!("{}, {thing}", crd.replace("SCOPE", "Cluster")), true),
    ] {
        let plan = planned(&[("a", with(&objects)), ("b", SCENARIO.to_owned())]);
        let wide = plan.clusters.iter().flat_map(|it| &it.environments).any(EnvironmentPlan::applies_wide);
        assert_eq!((plan.clusters.len() > 1, wide), (is_wide, is_wide), "{objects}");
    }
}
