//! Tests each format of a log, and each fault in one of these formats, with and without the secret key.

use std::fmt::Write as _;

use super::*;

const SECRET: &str = "correct-horse-battery-staple";
const PATH: &str = "/docs/a%20b.txt";

/// Returns a presigned URL for a host, a method and a path. `more` is appended to the query before the URL is signed.
fn signed(method: &str, host: &str, path: &str, more: &str) -> String {
    let own = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20261122%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20261122T150000Z&X-Amz-Expires=300&X-Amz-SignedHeaders=host";
    let unsigned = format!("https://{host}{path}?{own}{more}");
    let request = SignedRequest::sent(method, &format!("{unsigned}&X-Amz-Signature=0"), None, &BTreeMap::new());
    let signature = request.expect("a signed request").signature_with(&Secret::new(SECRET));
    format!("{unsigned}&X-Amz-Signature={signature}")
}

fn query(url: &str) -> &str {
    url.split_once('?').expect("a query").1
}

fn url() -> String {
    signed("GET", "s3.example.com", PATH, "")
}

#[test]
fn each_form_of_a_log_is_read() {
    let url = url();
    let q = query(&url);
    let mut text = String::new();
    for (name, log) in [
        ("method and url", format!("GET {url}")),
        ("method and path", format!("GET {PATH}?{q}")),
        ("head", format!("GET {PATH}?{q} HTTP/1.1\r\nHost: s3.example.com\r\nAccept: */*\r\n\r\n")),
        (
            "curl",
            format!(
                "* Connected\n> GET {PATH}?{q} HTTP/1.1\n> Host: s3.example.com\n> Accept: */*\n>\n< HTTP/1.1 403 Forbidden\n< Server: store"
            ),
        ),
        ("curl, HTTP/2", format!("> GET {PATH}?{q} HTTP/2\n> Host: s3.example.com\n< HTTP/2 403")),
        ("http/2 names", format!("GET {PATH}?{q} HTTP/2\n:authority: s3.example.com")),
        (
            "nginx",
            format!(
                "10.42.0.1 - - [22/Nov/2026:15:00:02 +0000] \"GET {PATH}?{q} HTTP/1.1\" 403 421 \"-\" \"curl/8.5.0\""
            ),
        ),
        (
            "nginx, query left out",
            format!("10.42.0.1 - - [22/Nov/2026:15:00:02 +0000] \"GET {PATH} HTTP/1.1\" 403 421"),
        ),
        (
            "traefik",
            format!(
                "10.42.0.1 - - [22/Nov/2026:15:00:02 +0000] \"GET {PATH}?{q} HTTP/2.0\" 403 421 \"-\" \"-\" 7 \"minio@kubernetes\" \"https://10.42.0.9:9000\" 3ms"
            ),
        ),
        (
            "envoy",
            format!(
                "[2026-11-22T15:00:02.000Z] \"GET {PATH}?{q} HTTP/1.1\" 403 - 0 421 3 2 \"10.42.0.1\" \"curl/8.5.0\" \"5e2b\" \"minio.apps.svc\" \"10.42.0.9:9000\""
            ),
        ),
        (
            "haproxy",
            format!(
                "haproxy[8]: 10.42.0.1:4242 [22/Nov/2026:15:00:02.000] public~ minio/one 0/0/1/2/3 403 421 - - ---- 1/1/0/0/0 0/0 \"GET {PATH}?{q} HTTP/1.1\""
            ),
        ),
        (
            "trace",
            format!(
                "s3.example.com [REQUEST s3.GetObject] [2026-11-22T15:00:02.000] [Client IP: 10.42.0.1]\ns3.example.com GET /docs/a b.txt?{q}\ns3.example.com Proto: HTTP/1.1\ns3.example.com Host: s3.example.com\ns3.example.com User-Agent: curl\ns3.example.com\ns3.example.com [RESPONSE] [2026-11-22T15:00:02.001] [ Duration 1ms ]\ns3.example.com 403 Forbidden\ns3.example.com Server: store"
            ),
        ),
    ] {
        let saw = read(&log, &url).unwrap_or_else(|error| panic!("{name}: {error}"));
        let shown = saw.query.as_deref().map_or("none", |it| if it == q { "whole" } else { "another" });
        let headers = saw.headers.as_ref().map(|it| it.keys().cloned().collect::<Vec<_>>().join(" "));
        writeln!(text, "{name}: {}; query {shown}; headers {headers:?}", title(&saw)).expect("written");
        let secret = Secret::new(SECRET);
        let lines = compare(&url, &saw, Known { method: None, secret: Some(&secret) }).expect("compared").lines;
        for (label, what) in &lines[1..] {
            writeln!(text, "  {label}: {what}").expect("written");
        }
    }
    insta::assert_snapshot!(text);
}

#[test]
fn what_is_no_request_says_what_it_may_be() {
    for text in
        ["", "\n\n", "hello", "403 Forbidden", "GET", "FETCH /a", "GET a b c", "\"GET\"", "> \n>", "[REQUEST x]"]
    {
        let error = read(text, &url()).expect_err(text);
        assert!(error.contains("mc admin trace -v"), "{text}: {error}");
    }
}

#[test]
fn each_fault_is_found_and_proven() {
    let url = url();
    let (q, long) = (query(&url), "a".repeat(64));
    let put = signed("PUT", "s3.example.com", PATH, "");
    let stripped = signed("GET", "s3.example.com", "/s3/docs/a%20b.txt", "");
    let head = |method: &str, path: &str, query: &str, more: &str| {
        format!("{method} {path}?{query} HTTP/1.1\nHost: s3.example.com\n{more}")
    };
    let mut text = String::new();
    for (name, url, log) in [
        ("host", &url, format!("GET {PATH}?{q} HTTP/1.1\nHost: minio.apps.svc:9000")),
        ("port", &url, format!("GET {PATH}?{q} HTTP/1.1\nHost: s3.example.com:9000")),
        ("method", &put, head("POST", PATH, query(&put), "")),
        ("prefix taken off", &stripped, head("GET", PATH, query(&stripped), "")),
        ("encoded twice", &url, head("GET", "/docs/a%2520b.txt", q, "")),
        ("query added", &url, head("GET", PATH, &format!("{q}&utm_source=mail"), "")),
        (
            "payload declared",
            &url,
            head(
                "GET",
                PATH,
                q,
                "x-amz-content-sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            ),
        ),
        ("two signatures", &url, head("GET", PATH, q, "Authorization: Basic eA==")),
        ("expiry changed", &url, head("GET", PATH, &q.replace("Expires=300", "Expires=900"), "")),
        (
            "another url",
            &url,
            head(
                "GET",
                PATH,
                &q.replace("20261122T150000Z", "20261122T160000Z")
                    .replace(q.rsplit('=').next().expect("a signature"), &long),
                "",
            ),
        ),
        (
            "signature hidden",
            &url,
            format!("\"GET {PATH}?{}&x=1 HTTP/1.1\" 403", q.split("&X-Amz-Signature").next().expect("a query")),
        ),
    ] {
        let saw = read(&log, url).unwrap_or_else(|error| panic!("{name}: {error}"));
        let (right, wrong) = (Secret::new(SECRET), Secret::new("another"));
        for (with, secret) in [("no secret", None), ("the secret", Some(&right)), ("another", Some(&wrong))] {
            writeln!(text, "{name}, {with}").expect("written");
            for (label, what) in &compare(url, &saw, Known { method: None, secret }).expect("compared").lines[1..] {
                writeln!(text, "  {label}: {what}").expect("written");
            }
        }
    }
    assert!(!text.contains(SECRET) && !text.contains("AKIDEXAMPLE"), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn of_several_requests_the_urls_own_is_taken() {
    let (own, other) = (url(), signed("GET", "s3.example.com", "/docs/other.txt", ""));
    let line = |url: &str| format!("\"GET /docs/x?{} HTTP/1.1\" 403", query(url));
    let block = |url: &str, host: &str| {
        format!(
            "{host} [REQUEST s3.GetObject] [at] [Client IP: 10.0.0.1]\n{host} GET /docs/a b.txt?{}\n{host} Host: {host}\n{host} [RESPONSE] [at]\n{host} 403 Forbidden\n",
            query(url)
        )
    };
    let lines = format!("{}\nno request\n{}\n{}", line(&other), line(&own), line(&other));
    let saw = read(&lines, &own).expect("a request");
    assert_eq!(saw.query.as_deref(), Some(query(&own)));
    let trace = format!("{}\n{}\n{}", block(&other, "one"), block(&own, "two"), block(&other, "three"));
    assert_eq!(read(&trace, &own).expect("a request").host.as_deref(), Some("two"));
    // While a trace is being written, a request is complete as soon as the line after its `[RESPONSE]` line is there.
    let answered = |text: &str| {
        let ends = text.match_indices('\n').map(|(at, _)| at + 1);
        ends.clone().position(|end| is_answered(&text[..end], &own))
    };
    assert_eq!(answered(&trace), Some(10), "{trace}");
    assert_eq!(answered(&block(&other, "one")), None);
    // In this text, no request has the signature of the URL. `read` still returns a request, so that the comparison can
    // report the difference.
    assert_eq!(read(&block(&other, "one"), &own).expect("a request").host.as_deref(), Some("one"));
}

/// The presigned URL of the requests in the logs of [`REAL`], signed with [`SECRET`].
const LOGGED: &str = "https://s3.example.com/docs/a%20b.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20261127%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20261127T150000Z&X-Amz-Expires=604800&X-Amz-SignedHeaders=host&X-Amz-Signature=cef6187f03625ec9f577a94de1d14a4e2a05f6f70d35f28cd885f0f504daeb21";

/// Logs that real programs wrote: nginx 1.22, Envoy 1.40 (with its own format, Istio's, and JSON), `HAProxy` 2.6, curl
/// 7.88, and `mc admin trace` (`mc` from 2025-03, store from 2026-02).
const REAL: [(&str, &str); 10] = [
    ("nginx", include_str!("real/nginx.txt")),
    ("nginx, error log", include_str!("real/nginx-error.txt")),
    ("envoy", include_str!("real/envoy.txt")),
    ("istio's format", include_str!("real/istio.txt")),
    ("envoy, JSON", include_str!("real/envoy-json.txt")),
    ("haproxy", include_str!("real/haproxy.txt")),
    ("trace", include_str!("real/mc-trace.txt")),
    ("trace, JSON", include_str!("real/mc-trace-json.txt")),
    ("curl", include_str!("real/curl.txt")),
    ("curl, HTTP/2", include_str!("real/curl-http2.txt")),
];

/// Formats that are known only from the documentation of the programs, and not from a real log.
const DOCUMENTED: [(&str, &str); 3] = [
    (
        "traefik, JSON",
        r#"{"ClientHost":"10.42.0.1","DownstreamStatus":403,"OriginStatus":403,"RequestHost":"minio.foo.svc","RequestMethod":"GET","RequestPath":"/docs/a%20b.txt?QUERY","RequestProtocol":"HTTP/2.0","StartUTC":"2026-12-04T15:01:00.5Z","level":"info","time":"2026-12-04T15:01:00Z"}"#,
    ),
    (
        "caddy",
        r#"{"level":"info","ts":1795791600.5,"request":{"remote_ip":"10.42.0.1","proto":"HTTP/2.0","method":"GET","host":"s3.example.com","uri":"/s3/docs/a%20b.txt?QUERY","headers":{"Accept":["*/*"],"Authorization":["REDACTED"]}},"status":403}"#,
    ),
    (
        "a browser's headers",
        ":authority: s3.example.com:443\n:method: PUT\n:path: /docs/a%20b.txt?QUERY\n:scheme: https\naccept-encoding: gzip",
    ),
];

/// Splits a log into single requests. A block of a trace begins with `[REQUEST`.
fn requests(log: &str) -> Vec<String> {
    if log.contains("[REQUEST ") {
        let starts: Vec<usize> =
            log.lines().enumerate().filter(|it| it.1.contains("[REQUEST ")).map(|it| it.0).collect();
        let lines: Vec<&str> = log.lines().collect();
        let ends = starts.iter().skip(1).copied().chain([lines.len()]);
        return starts.iter().zip(ends).map(|(start, end)| lines[*start..end].join("\n")).collect();
    }
    if log.contains("> GET") || log.starts_with(':') {
        vec![log.to_owned()]
    } else {
        log.lines().map(str::to_owned).collect()
    }
}

#[test]
fn lines_that_programs_wrote_are_read() {
    let secret = Secret::new(SECRET);
    let mut text = String::new();
    let all = REAL.iter().map(|(name, log)| (*name, (*log).to_owned()));
    let documented = DOCUMENTED.iter().map(|(name, log)| (*name, log.replace("QUERY", query(LOGGED))));
    for (name, log) in all.chain(documented) {
        for request in requests(&log) {
            let saw = read(&request, LOGGED).unwrap_or_else(|error| panic!("{name}: {error}"));
            let compared = compare(LOGGED, &saw, Known { method: None, secret: Some(&secret) }).expect("compared");
            assert!(compared.proven.is_some(), "{name}");
            writeln!(
                text,
                "{name}: {:?}, not shown {:?}, proven {:?}",
                compared.differs, compared.hidden, compared.proven
            )
            .expect("written");
            for (label, what) in &compared.lines {
                writeln!(text, "  {label}: {what}").expect("written");
            }
        }
    }
    for secret in [SECRET, "AKIDEXAMPLE", "cef6187f"] {
        assert!(!text.contains(secret), "{text}");
    }
    insta::assert_snapshot!(text);
}

#[test]
fn headers_alone_are_compared_with_the_url() {
    let headers = "Host: minio.foo.svc\nAccept-Encoding: gzip\nUser-Agent: x";
    let saw = read(headers, LOGGED).expect("headers");
    let secret = Secret::new(SECRET);
    let compared = compare(LOGGED, &saw, Known { method: None, secret: Some(&secret) }).expect("compared");
    assert_eq!((compared.differs, compared.hidden), (vec!["host".to_owned()], vec!["method", "query"]));
    assert_eq!(compared.proven, Some(true));
    for no_headers in ["Host s3.example.com", "Accept: */*", "Host: a\nthis is prose: not a header", "Host:"] {
        assert!(read(no_headers, LOGGED).is_err() || no_headers == "Host:", "{no_headers}");
    }
}

#[test]
fn the_time_in_a_log_is_compared_with_the_urls() {
    let line = |at: &str| format!("10.0.0.1 - - [{at}] \"GET /docs/a%20b.txt?{} HTTP/1.1\" 403 1", query(LOGGED));
    for (at, says) in [
        ("27/Nov/2026:15:00:02 +0000", None),
        ("04/Dec/2026:15:00:00 +0000", None),
        ("04/Dec/2026:17:00:00 +0200", None),
        ("04/Dec/2026:15:03:00 +0000", Some("3 min after the URL ended")),
        ("27/Nov/2026:14:50:00 +0000", None),
        ("27/Nov/2026:14:30:00 +0000", Some("30 min before the URL was signed")),
        // A time without a zone is ambiguous, so no finding is expected.
        ("27/Nov/2020:14:30:00", None),
        ("at", None),
    ] {
        let saw = read(&line(at), LOGGED).expect("a request");
        let compared = compare(LOGGED, &saw, Known::default()).expect("compared");
        let told = compared.lines.iter().any(|(_, it)| says.is_some_and(|says| it.contains(says)));
        assert_eq!((told, compared.differs.contains(&"clock".to_owned())), (says.is_some(), says.is_some()), "{at}");
    }
}

#[test]
fn cut_and_damaged_lines_are_read_or_refused_with_words() {
    let mut refused = 0_u32;
    let mut tried = 0_u32;
    for (_, log) in REAL.iter().chain(&DOCUMENTED) {
        let log = requests(log).swap_remove(0);
        let places: Vec<usize> = log.char_indices().map(|it| it.0).step_by(log.len() / 40 + 1).collect();
        for at in places {
            let (before, after) = log.split_at(at);
            let rest = after.get(1..).unwrap_or_default();
            for damaged in [
                before.to_owned(),
                after.to_owned(),
                format!("{before}{rest}"),
                format!("{before}\"{after}"),
                format!("{before}\n{after}"),
                format!("{before}\u{0}{after}"),
                format!("{before}\u{e9}{rest}"),
            ] {
                tried += 1;
                match read(&damaged, LOGGED) {
                    Ok(saw) => {
                        let compared = compare(LOGGED, &saw, Known::default());
                        let damage = compared.as_ref().err();
                        assert!(damage.is_none_or(|it| it.contains("cut or damaged")), "{damaged}: {damage:?}");
                        let text = format!("{compared:?}");
                        assert!(!text.contains("cef6187f03625ec9f577a94de1d14a4e"), "{damaged}: {text}");
                    }
                    Err(error) => {
                        assert!(error.contains("curl -v"), "{error}");
                        refused += 1;
                    }
                }
            }
        }
    }
    assert!(tried > 1000 && refused > tried / 10, "{refused} of {tried}");
}
