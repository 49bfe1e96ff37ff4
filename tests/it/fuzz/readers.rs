//! The readers of untrusted bytes. Each reader also does everything that the harness does with the result.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::LazyLock;

use parallax_explain::saw;
use parallax_judge::{Expected, Seen, judge, tally};
use parallax_report::{Summary, explanation, github, junit, page, terminal};

use parallax_language::fixture::Library;
use parallax_language::scenario::{Loaded, diagnostic};
use parallax_vocab::EventKind;
use parallax_vocab::prober::{Outcome, Series};
use parallax_vocab::wire::{FrameError, FromAgent, ToAgent, decode, encode};
use serde_json::json;

/// A reader of untrusted bytes.
pub(super) struct Reader {
    pub(super) name: &'static str,
    /// A function that reads the bytes, and then uses the result in the same way as the harness. The returned text
    /// distinguishes kinds of results.
    pub(super) read: fn(&[u8]) -> String,
    /// A function that returns valid inputs. The mutations start from these inputs.
    pub(super) seeds: fn() -> Vec<Vec<u8>>,
}

pub(super) const READERS: &[Reader] = &[
    Reader { name: "scenario", read: scenario, seeds: scenarios },
    Reader { name: "record", read: events, seeds: records },
    Reader { name: "frame", read: frames, seeds: framed },
    Reader { name: "saw", read: saw, seeds: seen },
];

static LIBRARY: LazyLock<Library> = LazyLock::new(Library::shipped);

fn repository(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn scenario(bytes: &[u8]) -> String {
    // The folder of the scenario gets the name that the file declares. Otherwise most inputs would fail at the check of
    // the name.
    let lines = bytes.split(|byte| *byte == b'\n');
    let name = lines.into_iter().find_map(|line| line.strip_prefix(b"name: ")).unwrap_or(b"x");
    let path = format!("area/{}", String::from_utf8_lossy(name));
    match Loaded::read(&LIBRARY, &path, "scenario.yaml", bytes) {
        Ok(loaded) => {
            let selected: BTreeSet<_> = loaded.variants.iter().map(|variant| variant.id.clone()).collect();
            let programs = loaded.variants.iter().flat_map(|variant| loaded.host_programs(&LIBRARY, variant)).count();
            match parallax_plan::build(&LIBRARY, std::slice::from_ref(&loaded), &selected) {
                Ok(plan) => format!(
                    "{programs} {}",
                    parallax_plan::show(&plan, &parallax_plan::Expected::default()).lines().count() % 7
                ),
                Err(error) => error.to_string(),
            }
        }
        Err(errors) => {
            diagnostic::render(&errors, true);
            diagnostic::render(&errors, false);
            errors.first().map(|it| it.message.chars().take(40).collect()).unwrap_or_default()
        }
    }
}

fn scenarios() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = ["tests/good", "tests/bad"]
        .iter()
        .flat_map(|folder| super::files(&repository(folder)))
        .filter(|file| file.extension().is_some_and(|it| it == "yaml"))
        .map(|file| std::fs::read(file).unwrap())
        .collect();
    let (shipped, _) = parallax_language::scenario::load(&LIBRARY, &repository(""), &[]);
    assert!(!shipped.is_empty());
    // Long scenarios are left out, because they are slow to test and cover little more than the other scenarios.
    seeds.extend(shipped.iter().map(|it| it.document.source.text().as_bytes().to_vec()).filter(|it| it.len() < 12_000));
    seeds
}

fn events(bytes: &[u8]) -> String {
    let events = match parallax_record::parse("record.jsonl", bytes) {
        Ok(events) => events,
        Err(error) => return error.to_string().chars().filter(|c| !c.is_ascii_digit()).take(90).collect(),
    };
    let summary = Summary::from_events(&events);
    for colour in [false, true] {
        terminal::render(&summary, &terminal::Style { colour, ..terminal::Style::default() });
    }
    let page = page::render(&summary, "parallax e2e").map_or_else(|error| error.to_string(), |_| String::new());
    let junit = junit::render(&summary).map_or_else(|error| error.to_string(), |_| String::new());
    let markdown = github::markdown(&summary, "parallax e2e");
    let explained = explanation::explanation(&summary, None, true).unwrap_or_default();
    let lines = |text: &str| text.lines().count() % 11;
    format!("{:?} {page} {junit} {} {}", summary.totals(), lines(&markdown), lines(&explained))
}

fn seed_record() -> Vec<u8> {
    std::fs::read(repository("tests/fuzz/record/run.jsonl")).unwrap()
}

fn records() -> Vec<Vec<u8>> {
    let lines = seed_record();
    let lines: Vec<&[u8]> = lines.split(|byte| *byte == b'\n').collect();
    // The seeds are the whole record, and further records. Each further record has only the first event and one other
    // event.
    let alone = lines.iter().map(|line| [lines[0], line, b""].join(&b'\n'));
    alone.chain([lines.join(&b'\n')]).collect()
}

/// Reads the bytes as a stream of frames, and then reads each line of the bytes as a frame with the correct length.
fn frames(bytes: &[u8]) -> String {
    let framed = bytes.split(|byte| *byte == b'\n').flat_map(|line| {
        let length = u32::try_from(line.len()).unwrap();
        [&length.to_be_bytes()[..], line].concat()
    });
    let framed: Vec<u8> = framed.collect();
    format!("{} {} {}", from_agent(bytes.to_vec()), from_agent(framed.clone()), to_agent(framed))
}

fn error_kind(error: &FrameError) -> String {
    error.to_string().chars().filter(|c| !c.is_ascii_digit()).take(80).collect()
}

fn to_agent(mut buffer: Vec<u8>) -> String {
    let mut read = 0;
    loop {
        match decode::<ToAgent>(&mut buffer) {
            Ok(Some(_)) => read += 1,
            Ok(None) => return format!("{}", read % 5),
            Err(error) => return error_kind(&error),
        }
    }
}

fn from_agent(mut buffer: Vec<u8>) -> String {
    let mut series = Series::default();
    let mut result = String::new();
    loop {
        match decode::<FromAgent>(&mut buffer) {
            Ok(Some(FromAgent::Answered { answer, .. })) => {
                let judged = judge(&Expected::Success, &*answer, &Seen::default());
                result = judged.cause.map(|cause| cause.to_string().chars().take(30).collect()).unwrap_or_default();
            }
            Ok(Some(FromAgent::Series { series: Some(page), .. })) => {
                if let Err(why) = series.join(*page) {
                    return why;
                }
                tally(&series, &Expected::Success, &Seen::default());
            }
            Ok(Some(FromAgent::Series { series: None, .. } | FromAgent::Hello { .. })) => {}
            Ok(None) => return result,
            Err(error) => return error_kind(&error),
        }
    }
}

fn framed() -> Vec<Vec<u8>> {
    let events = parallax_record::parse("run.jsonl", &seed_record()).unwrap();
    let steps = events.into_iter().filter_map(|event| match event.event {
        EventKind::StepEnded(step) => Some(step),
        _ => None,
    });
    let mut lines: Vec<Vec<u8>> = Vec::new();
    let mut kinds = Vec::new();
    for (request, step) in (0_u64..).zip(steps) {
        if let Some(question) = step.question {
            lines.push(serde_json::to_vec(&ToAgent::Ask { request, question: Box::new(question) }).unwrap());
        }
        if let Some(answer) = step.answer {
            kinds.push(answer.clone());
            lines.push(serde_json::to_vec(&FromAgent::Answered { request, answer: Box::new(answer) }).unwrap());
        }
    }
    assert!(kinds.len() > 10, "the record holds too few answers");
    let at_us = |it: usize| 1_000 * it as u64;
    let outcomes = (0..40).map(|it| Outcome { at_us: at_us(it), took_us: 300, kind: it % 10 });
    let (outcomes, kinds) = (outcomes.collect(), kinds[..10].to_vec());
    let series = Series { asked_for_us: 40_000, outcomes, kinds, ..Series::default() };
    let page = FromAgent::Series { request: 1, series: Some(Box::new(series)) };
    lines.push(serde_json::to_vec(&page).unwrap());
    let hello = json!({ "hello": { "version": 2, "host": "a", "addresses": ["10.0.0.1", "::1"] } });
    lines.push(hello.to_string().into_bytes());
    let streams = vec![[encode(&ToAgent::Heartbeat).unwrap(), encode(&page).unwrap()].concat()];
    lines.into_iter().chain(streams).collect()
}

/// Reads a presigned URL from the first line, and the text of a log from the other lines, as `parallax explain URL
/// --saw -` does.
fn saw(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let (url, log) = text.split_once('\n').unwrap_or((&text, ""));
    let url = &parallax_explain::pasted(url).url;
    let labels = |lines: Vec<(&'static str, String)>| lines.iter().map(|it| it.0).collect::<Vec<_>>().join(" ");
    let dissected = parallax_explain::dissect(url, time::OffsetDateTime::UNIX_EPOCH).map_or_else(|it| it, labels);
    let secret = parallax_vocab::Secret::new("a key");
    let compared = saw::read(log, url).and_then(|seen| {
        let known = [None, Some(&secret)].map(|secret| saw::Known { method: None, secret });
        let source = seen.source.to_string();
        let lines = known.map(|it| saw::compare(url, &seen, it).map(|it| labels(it.lines)));
        let [open, proven] = lines;
        Ok(format!("{source} {} {}", open?, proven?))
    });
    format!("{dissected} {}", compared.unwrap_or_else(|it| it.chars().take(40).collect()))
}

fn seen() -> Vec<Vec<u8>> {
    let query = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20261122%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20261122T150000Z&X-Amz-Expires=300&X-Amz-SignedHeaders=content-type%3Bhost&x-id=GetObject&X-Amz-Signature=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    let path = "/docs/a%20b.txt";
    let logs = [
        format!("GET https://s3.example.com:443{path}?{query}"),
        format!(
            "PUT {path}?{query} HTTP/1.1\r\nHost: s3.example.com\r\nContent-Type: text/plain\r\nAuthorization: Basic eA=="
        ),
        format!(":authority: s3.example.com\n:method: GET\n:path: {path}?{query}\naccept: */*"),
        format!(
            r#"{{"RequestMethod":"GET","RequestPath":"{path}?{query}","RequestHost":"s3","StartUTC":"2026-11-22T15:00:02Z"}}"#
        ),
        format!("> GET {path}?{query} HTTP/2\n> :authority: s3.example.com\n< HTTP/2 403"),
        format!("10.0.0.1 - - [at] \"GET /s3{path}?{query} HTTP/1.1\" 403 421 \"-\" \"curl\""),
        format!(
            "[at] \"GET {path} HTTP/1.1\" 403 - 0 1 3 2 \"10.0.0.1\" \"curl\" \"id\" \"minio.apps.svc\" \"10.0.0.9:9000\""
        ),
        format!(
            "proxy[8]: 10.0.0.1:1 [at] public~ minio/one 0/0/1/2/3 403 421 - - ---- 1/1/0/0/0 0/0 \"GET {path}?{query} HTTP/1.1\""
        ),
        format!(
            "h [REQUEST s3.GetObject] [at] [Client IP: 10.0.0.1]\nh GET /docs/a b.txt?{query}\nh Host: h\nh X-Amz-Content-Sha256: abc\nh [RESPONSE] [at]\nh 403 Forbidden"
        ),
    ];
    logs.into_iter().map(|log| format!("https://s3.example.com{path}?{query}\n{log}").into_bytes()).collect()
}
