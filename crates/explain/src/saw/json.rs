//! Reads logs with one JSON object on each line. The field names are those of Traefik, of Envoy as Contour and Istio
//! configure it, of Caddy, and of `mc admin trace -v --json`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::clock;
use super::read::{METHODS, Saw, Source, assembled};

/// The possible names of the JSON field that contains the method.
const METHOD: [&str; 4] = ["method", "RequestMethod", "request_method", ":method"];
/// The possible names of the JSON field that contains the path. The path may include the query.
const PATH: [&str; 7] = ["path", "RequestPath", "uri", "request_uri", "x-envoy-origin-path", "url", ":path"];
/// The possible names of the JSON field that contains the host.
const HOST: [&str; 6] = ["authority", "RequestHost", "host", "http_host", ":authority", "Host"];
/// The possible names of the JSON field that contains the status of the answer.
const STATUS: [&str; 5] = ["response_code", "DownstreamStatus", "OriginStatus", "status", "statusCode"];
/// The possible names of the JSON field that contains the time of the request.
const TIME: [&str; 5] = ["start_time", "StartUTC", "time", "timestamp", "@timestamp"];

/// Reads the request from a line that contains a JSON object.
pub(super) fn object(line: &str) -> Option<Saw> {
    let start = line.find('{')?;
    let all: Map<String, Value> = serde_json::from_str(&line[start..]).ok()?;
    // Caddy and MinIO put the request into an object inside the line's object.
    let inner = all.get("request").and_then(Value::as_object);
    let fields: Vec<&Map<String, Value>> = inner.into_iter().chain([&all]).collect();
    let text = |names: &[&str]| names.iter().find_map(|name| fields.iter().find_map(|it| written(it.get(*name)?)));
    let method = text(&METHOD)?.to_uppercase();
    if !METHODS.contains(&method.as_str()) {
        return None;
    }
    let mut target = text(&PATH)?;
    let raw = inner.and_then(|it| it.get("rawQuery")).and_then(Value::as_str);
    let store = raw.is_some() || all.get("api").is_some_and(Value::is_string);
    if let Some(query) = raw {
        target = format!("{target}?{query}");
    }
    let headers = inner.and_then(|it| it.get("headers")).and_then(Value::as_object).map(headers);
    let answer = all.get("response").and_then(Value::as_object);
    let status = answer.into_iter().chain(fields.iter().copied());
    let status = status.flat_map(|it| STATUS.iter().filter_map(|name| it.get(*name)));
    let status = status.filter_map(written).find_map(|it| it.parse().ok());
    let source = if store { Source::StoreTrace } else { Source::Json };
    let mut saw = assembled(source, &method, &target, headers, status);
    if saw.host.is_none() {
        saw.host = text(&HOST).filter(|it| it != "-");
    }
    saw.at = text(&TIME).and_then(|it| clock::parsed(&it));
    Some(saw)
}

fn written(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Reads the headers of a request. For each name, Caddy writes a list of values, and MinIO writes one text.
fn headers(all: &Map<String, Value>) -> BTreeMap<String, String> {
    let value = |value: &Value| match value {
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
        value => value.as_str().unwrap_or_default().to_owned(),
    };
    all.iter().map(|(name, it)| (name.to_lowercase(), value(it))).collect()
}
