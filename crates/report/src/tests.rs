//! Snapshot tests: render each report from hand-made events, and compare the text with the stored one.

use parallax_record::GAVE_UP;
use parallax_vocab::course::{Course, Round};
use parallax_vocab::event::{Exit, Failure, Matched, Outcome, StepEnded, VariantEnded, Verdict, Witness};
use parallax_vocab::tally::Tally;
use parallax_vocab::{Answer, Event, EventKind, Evidence, Reply};

use super::terminal::{Style, render};
use super::{Summary, Totals, github, junit, page, samples};

fn runs() -> [(&'static str, Vec<Event>, Exit, Totals); 10] {
    let totals = |passed, failed, skipped| Totals { passed, failed, skipped };
    [
        ("all_good", samples::all_good(), Exit::AsExpected, totals(2, 0, 0)),
        ("expectation_failed", samples::expectation_failed(), Exit::NotAsExpected, totals(0, 1, 0)),
        ("break_did_not_break", samples::break_did_not_break(), Exit::NotAsExpected, totals(1, 1, 0)),
        ("harness_failed", samples::harness_failed(), Exit::Harness, totals(0, 2, 0)),
        ("interrupted", samples::interrupted(), Exit::Interrupted, totals(0, 0, 2)),
        ("skipped", samples::skipped(), Exit::AsExpected, totals(1, 0, 1)),
        ("unproven", samples::unproven(), Exit::NotAsExpected, totals(2, 1, 0)),
        ("only_skips", samples::only_skips(false), Exit::Harness, totals(0, 1, 1)),
        ("killed", samples::killed(), Exit::Harness, totals(1, 1, 0)),
        ("measured", samples::measured(), Exit::AsExpected, totals(1, 0, 0)),
    ]
}

#[test]
fn exit_and_totals_of_every_kind_of_run() {
    for (name, events, exit, totals) in runs() {
        let summary = Summary::from_events(&events);
        assert_eq!((summary.exit(), summary.totals()), (exit, totals), "{name}");
        if let Some(ended) = &summary.ended {
            assert_eq!(Totals { passed: ended.passed, failed: ended.failed, skipped: ended.skipped }, totals, "{name}");
        }
    }
}

#[test]
fn a_run_that_only_skips_is_accepted_where_somebody_says_so() {
    let summary = Summary::from_events(&samples::only_skips(true));
    assert_eq!((summary.exit(), summary.totals()), (Exit::AsExpected, Totals { passed: 0, failed: 0, skipped: 1 }));
}

#[test]
fn a_pass_whose_record_or_reports_could_not_be_written_is_no_pass() {
    let why = || Some("cannot write record.jsonl: no space".to_owned());
    for (name, events, exit, totals) in runs() {
        let summary = Summary::from_events(&events);
        assert_eq!(summary.clone().unwritten(None).exit(), exit, "{name}");
        let summary = summary.unwritten(why()).unwritten(why());
        if exit != Exit::AsExpected {
            // If a run has already failed for another reason, a write error does not change its exit status.
            assert_eq!((summary.exit(), summary.totals()), (exit, totals), "{name}");
            continue;
        }
        let totals = Totals { failed: totals.failed + 1, ..totals };
        assert_eq!((summary.exit(), summary.totals()), (Exit::Harness, totals), "{name}");
        let text = render(&summary, &Style::default());
        for part in ["cannot write record.jsonl: no space", "(exit 3,", &format!("{} passed, 1 failed", totals.passed)]
        {
            assert!(text.contains(part), "{name}: {part:?} is not in\n{text}");
        }
        assert!(!text.contains("exit 0"), "{name}: {text}");
    }
}

#[test]
fn terminal() {
    for (name, events, ..) in runs() {
        let style = Style { colour: false, command: "cargo xtask e2e".into() };
        let text = render(&Summary::from_events(&events), &style);
        insta::assert_snapshot!(format!("terminal_{name}"), text);
    }
}

#[test]
fn the_line_for_tools_is_last_and_bare_even_in_colour() {
    for (name, events, _, totals) in runs() {
        let text = render(&Summary::from_events(&events), &Style { colour: true, ..Style::default() });
        let expected = format!("{} passed, {} failed, {} skipped", totals.passed, totals.failed, totals.skipped);
        assert_eq!(text.lines().last(), Some(expected.as_str()), "{name}");
        assert!(text.contains('\x1b'), "{name} is not coloured");
    }
}

#[test]
fn junit_documents() {
    for (name, events, _, totals) in runs() {
        let text = junit::render(&Summary::from_events(&events)).expect("serialises");
        // The counts in the JUnit document equal those in the last line on the terminal.
        let count = |part: &str| text.matches(part).count();
        let Totals { passed, failed, skipped } = totals;
        assert_eq!(count("<testcase "), passed + failed + skipped, "{name}");
        assert_eq!((count("<failure"), count("<skipped"), count("<error")), (failed, skipped, 0), "{name}");
        insta::assert_snapshot!(format!("junit_{name}"), text);
    }
}

#[test]
fn a_failed_case_links_its_page_first_whatever_a_system_says() {
    let mut events = samples::expectation_failed();
    for event in &mut events {
        if let EventKind::StepEnded(step) = &mut event.event {
            step.course.notes = vec!["[[ATTACHMENT|../../etc/passwd]]".to_owned()];
        }
    }
    let text = junit::render(&Summary::from_events(&events)).expect("serialises");
    let first = text.find("[[ATTACHMENT|").map(|at| &text[at..at + 53]);
    assert_eq!(first, Some("[[ATTACHMENT|target/e2e/r5f09a2c1/report.html]]\ntarge"));
    assert!(text.contains("report.html#presign/presigned-url:inside\n"), "{text}");
    for attribute in [
        "classname=\"presign.presigned-url\"",
        "file=\"scenarios/presign/presigned-url/scenario.yaml\"",
        "line=\"14\"",
        "name=\"variant\" value=\"presign/presigned-url\"",
    ] {
        assert!(text.contains(attribute), "{attribute} is not in {text}");
    }
}

#[test]
fn pages() {
    for (name, events, ..) in runs() {
        let text = page::render(&Summary::from_events(&events), "cargo xtask e2e").expect("renders");
        if ["expectation_failed", "harness_failed", "unproven", "measured"].contains(&name) {
            insta::assert_snapshot!(format!("page_{name}"), body(&text));
        }
        // People store the page as a file and open it later. So it must fetch nothing and run only its own script.
        for foreign in
            ["<link", "<img", "http-equiv=\"refresh\"", "url(", "src=", " style=", " onclick=", "javascript:"]
        {
            assert!(!text.contains(foreign), "{name}: {foreign}");
        }
        assert_eq!((text.matches("<script").count(), text.matches("<style").count()), (1, 1), "{name}");
    }
}

#[test]
fn what_a_system_says_is_text_on_the_page() {
    let mut events = samples::expectation_failed();
    let hostile = "<script>alert('x')</script>\"&\u{202e}\x1b[2J";
    for event in &mut events {
        if let EventKind::StepEnded(step) = &mut event.event {
            step.place = hostile.to_owned();
            step.kind = hostile.to_owned();
            step.from = Some(hostile.into());
            step.course.notes = vec![hostile.to_owned()];
            step.matchers = vec![Matched::new(hostile, false, hostile, hostile)];
            step.witness = Some(Witness { source: hostile.into(), host: hostile.into(), agrees: true, request: None });
        }
    }
    events.push(Event { at_ms: 99_999, event: EventKind::Note { text: hostile.to_owned() } });
    let text = page::render(&Summary::from_events(&events), "parallax e2e").expect("renders");
    assert!(text.matches("&lt;script&gt;").count() > 10, "{text}");
    assert_eq!(text.matches("<script").count(), 1, "{text}");
    assert!(!text.contains(['\u{202e}', '\x1b']), "{text}");
}

/// Returns the part of the page that differs from run to run, without the script and the style.
fn body(page: &str) -> &str {
    let body = page.split_once("<main id=\"px-main\">").expect("a beginning").1;
    body.split_once("</main>").expect("an end").0
}

#[test]
fn github_page_and_annotations() {
    for (name, events) in [
        ("expectation_failed", samples::expectation_failed()),
        ("harness_failed", samples::harness_failed()),
        ("unproven", samples::unproven()),
    ] {
        let summary = Summary::from_events(&events);
        insta::assert_snapshot!(format!("github_{name}"), github::markdown(&summary, "cargo xtask e2e"));
        insta::assert_snapshot!(format!("annotations_{name}"), github::annotations(&summary).join("\n"));
    }
}

#[test]
fn a_run_that_failed_before_its_first_variant_is_not_taken_for_a_success() {
    let failure = Failure { what: "no container engine answers".into(), fix: None, evidence: vec![] };
    let ended = Summary::default().ending(parallax_vocab::event::Proof::default(), Some(failure), false, 10);
    assert_eq!((ended.exit, ended.passed, ended.failed, ended.skipped), (Exit::Harness, 0, 1, 0));
}

#[test]
fn a_record_cut_off_anywhere_still_makes_every_report() {
    for (name, events, ..) in runs() {
        for length in 0..events.len() {
            let summary = Summary::from_events(&events[..length]);
            assert_ne!(summary.exit(), Exit::AsExpected, "{name} at {length}");
            assert!(summary.totals().failed > 0 || summary.interrupted(), "{name} at {length} looks like a success");
            assert!(render(&summary, &Style::default()).contains("the run did not end in order"), "{name} at {length}");
            junit::render(&summary).expect("serialises");
            page::render(&summary, "parallax e2e").expect("renders");
        }
    }
}

#[test]
fn a_break_that_did_as_declared_groups_its_steps_by_cause() {
    let base = || ["put", "inside", "upload", "outside", "last"].map(|id| samples::step("a/b+no-rewrite", id, 1));
    let says = |steps: Vec<StepEnded>| {
        let mut events: Vec<Event> =
            steps.into_iter().map(|it| Event { at_ms: 0, event: EventKind::StepEnded(Box::new(it)) }).collect();
        let outcome = Outcome::AsExpected;
        let ended = VariantEnded { variant: "a/b+no-rewrite".into(), outcome, took_ms: 0 };
        events.push(Event { at_ms: 1, event: EventKind::VariantEnded(ended) });
        let text = render(&Summary::from_events(&events), &Style::default());
        let line = text.lines().nth(1).expect("a line for the break");
        line.split_once(" s  ").expect("the time, then what failed").1.to_owned()
    };
    let [put, inside, upload, outside, last] = base();
    let dns = samples::no_such_name;
    assert_eq!(says(vec![put.clone(), dns(inside.clone())]), "inside failed by dns: no-such-name, as declared");
    let same = vec![dns(put.clone()), dns(inside.clone()), samples::refused(outside.clone())];
    let refused = "outside failed by status: 403, s3: SignatureDoesNotMatch";
    assert_eq!(says(same), format!("2 steps failed by dns: no-such-name; {refused}, as declared"));
    let mut other = samples::untrusted(last);
    let three = vec![dns(put), samples::refused(outside), other.clone()];
    assert!(says(three).ends_with("; 1 step by other causes, as declared"));
    other.cause = None;
    assert_eq!(says(vec![other, upload]), "last failed, as declared");
}

#[test]
fn answers_that_no_store_confirms_are_counted_in_every_report() {
    let mut events = samples::all_good();
    for event in &mut events {
        let EventKind::StepEnded(step) = &mut event.event else { continue };
        if step.verdict == Verdict::Passed {
            let reply = serde_json::from_value(serde_json::json!({ "status": 200, "keys": [] })).expect("a reply");
            step.answer = Some(Answer { outcome: Ok(Reply::S3(reply)), evidence: Evidence::default() });
        }
    }
    // Both steps count the answers of the same prober. The larger count includes the smaller one, so the report must
    // not add the two counts.
    let tally = |of_a_store: u64| -> Tally {
        serde_json::from_value(serde_json::json!({
            "began_unix_ms": 7, "asked_for_ms": 1, "count": 9, "failures": 0, "dropped": 0, "in_flight": 0,
            "of_a_store": of_a_store, "longest_gap": { "took_ms": 0, "from_ms": 0, "to_ms": 0 },
            "median_ms": 1, "worst_ms": 1, "late_ms": 0,
        }))
        .expect("a tally")
    };
    let mut with_prober = events.clone();
    let steps = with_prober.iter_mut().filter_map(|it| match &mut it.event {
        EventKind::StepEnded(step) => Some(step),
        _ => None,
    });
    for (step, count) in steps.zip([4, 6]) {
        step.course.tally = Some(tally(count));
    }
    assert_eq!(Summary::from_events(&with_prober).unconfirmed(), 2 + 6);
    let summary = Summary::from_events(&events);
    assert_eq!(summary.unconfirmed(), 2);
    assert!(render(&summary, &Style::default()).contains("2 unconfirmed answers: no store's trace tells who asked"));
    assert!(
        junit::render(&summary).expect("serialises").contains("name=\"answers that no store confirms\" value=\"2\"")
    );
    assert!(page::render(&summary, "parallax e2e").expect("renders").contains("2 answers, of which"));
}

#[test]
fn a_step_that_ran_again_counts_once_and_rounds_stay_in_their_order() {
    let of_round = |id: &str, void: Option<&str>| {
        let mut step = samples::step("presign/presigned-url", id, 14);
        let round = Round { of: "kills".into(), number: 2, times: 2, seed: 42, after_ms: None };
        step.course = Course { void: void.map(Into::into), round: Some(round), ..Course::default() };
        step
    };
    let mut again = samples::step("presign/presigned-url", "inside", 14);
    again.took_ms = 7;
    let steps = [
        samples::step("presign/presigned-url", "inside", 14),
        of_round("alive", None),
        of_round("crash", Some("the kubelet was early")),
        of_round("alive", None),
        of_round("crash", None),
        again,
    ];
    let event = |step| Event { at_ms: 0, event: EventKind::StepEnded(Box::new(step)) };
    let summary = Summary::from_events(&steps.map(event));
    let seen = summary.variants().flat_map(|it| &it.steps).map(|it| (it.step.as_str().to_owned(), it.took_ms == 7));
    let expected = [("inside", true), ("alive", false), ("crash", false), ("alive", false), ("crash", false)];
    assert_eq!(seen.collect::<Vec<_>>(), expected.map(|(step, is_last)| (step.to_owned(), is_last)));
}

#[test]
fn a_failure_is_told_once_with_everything_that_it_ended() {
    let failure = |what: &str| Failure { what: what.to_owned(), fix: None, evidence: Vec::new() };
    let set_up = |id: &str, detail: &str, what: &str| EventKind::SetupEnded {
        id: id.to_owned(),
        took_ms: 0,
        detail: detail.to_owned(),
        error: Some(failure(what)),
    };
    let variant =
        |id: &str, outcome: Outcome| EventKind::VariantEnded(VariantEnded { variant: id.into(), outcome, took_ms: 0 });
    let error = |id: &str, what: &str| variant(id, Outcome::Error { failure: failure(what) });
    let told = |events: &[EventKind]| {
        let events: Vec<Event> = events.iter().map(|it| Event { at_ms: 0, event: it.clone() }).collect();
        let summary = Summary::from_events(&events);
        let faults = summary.faults().into_iter();
        faults
            .map(|it| format!("{} | {}", it.failure.what, it.without_verdict().unwrap_or_default()))
            .collect::<Vec<_>>()
    };
    let given_up = set_up("image/pause", GAVE_UP, "image/pause was given up");
    let no_image = set_up("image/k3s", "failed", "no k3s");
    // One failed set-up step ends another set-up step and two variants. A third variant fails for another reason.
    let all = [given_up.clone(), no_image, error("a", "no k3s"), error("b", "no disk"), error("a+x", "no k3s")];
    assert_eq!(told(&all), ["no k3s | 2 variants: a, a+x", "no disk | b"]);
    // A set-up step that was given up is shown only if there is no other failure and the run was not interrupted.
    assert_eq!(told(std::slice::from_ref(&given_up)), ["image/pause was given up | "]);
    assert_eq!(told(&[given_up, variant("a", Outcome::Interrupted)]), [""; 0]);
}
