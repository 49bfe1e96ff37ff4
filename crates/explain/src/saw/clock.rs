//! Compares the time of a request, by the clock of the program that wrote the log, with the time for which the URL was
//! signed.

use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Duration, OffsetDateTime};

use crate::refusal::{instant, shown, span};
use crate::signature::SignedRequest;

/// The largest time by which a request may come before the URL's signing time. Stores accept such a request, because
/// clocks may differ.
const SKEW: Duration = Duration::minutes(15);
/// The time in the common log format: `27/Nov/2026:15:22:37 +0000`.
const COMMON: &[BorrowedFormatItem<'_>] = format_description!(
    "[day]/[month repr:short]/[year]:[hour]:[minute]:[second] [offset_hour sign:mandatory][offset_minute]"
);

/// Returns the first time with a time zone in a line of a log. A time without a zone (`HAProxy` and `mc admin trace -v`
/// write such times) is ambiguous and is not used.
pub(super) fn time_of(line: &str) -> Option<OffsetDateTime> {
    let in_brackets = line.split('[').skip(1).filter_map(|it| it.split_once(']')).map(|(text, _)| text);
    in_brackets.take(3).find_map(parsed)
}

/// Parses a time in the common log format or in RFC 3339.
pub(super) fn parsed(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, COMMON).or_else(|_| OffsetDateTime::parse(text, &Rfc3339)).ok()
}

/// Describes why the time of a request is outside the validity of the URL. The time is that of the clock of the program
/// that wrote the log. Returns `None` if the time is valid or not known.
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
