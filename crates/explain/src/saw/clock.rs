//! Checks whether a presigned URL was valid when a request with this URL arrived. The time of arrival comes from the
//! log line that the user gives with `--saw`.

use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Duration, OffsetDateTime};

use crate::refusal::{instant, shown, span};
use crate::signature::SignedRequest;

/// A request may come this much earlier than the URL's signing time. Stores accept such a request, because the clocks
/// of the signer and of the store may differ.
const SKEW: Duration = Duration::minutes(15);
/// The form of a timestamp in the common log format: `27/Nov/2026:15:22:37 +0000`.
const COMMON: &[BorrowedFormatItem<'_>] = format_description!(
    "[day]/[month repr:short]/[year]:[hour]:[minute]:[second] [offset_hour sign:mandatory][offset_minute]"
);

/// Returns the first timestamp with a time zone in a log line. A timestamp without a time zone (`HAProxy` and `mc admin
/// trace -v` write such timestamps) is ambiguous and is not used.
pub(super) fn time_of(line: &str) -> Option<OffsetDateTime> {
    let in_brackets = line.split('[').skip(1).filter_map(|it| it.split_once(']')).map(|(text, _)| text);
    in_brackets.take(3).find_map(parsed)
}

/// Parses a timestamp in the common log format or in RFC 3339.
pub(super) fn parsed(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, COMMON).or_else(|_| OffsetDateTime::parse(text, &Rfc3339)).ok()
}

/// Describes why the URL was not valid when the request came. `at` is the time of the request, by the clock of the
/// program that wrote the log. Returns `None` if the URL was valid. Also returns `None` if the log does not show the
/// time of the request, or if the URL does not state its validity.
pub(super) fn untimely(at: Option<OffsetDateTime>, signed: &SignedRequest) -> Option<String> {
    let (at, begins) = (at?, instant(&signed.date)?);
    let ends = begins.checked_add(Duration::seconds(i64::from(signed.expires.parse::<u32>().ok()?)))?;
    if at > ends {
        return Some(format!(
            "the request came at {}, {} after the URL ended: sign a new one, or for longer; if it was opened in time, the clock of the signer or of what wrote this is wrong",
            shown(at.to_offset(time::UtcOffset::UTC)),
            span(at - ends)
        ));
    }
    if begins - at > SKEW {
        return Some(format!(
            "the request came at {}, {} before the URL was signed: the clock of the signer, or of what wrote this, is wrong; set both by NTP",
            shown(at.to_offset(time::UtcOffset::UTC)),
            span(begins - at)
        ));
    }
    None
}
