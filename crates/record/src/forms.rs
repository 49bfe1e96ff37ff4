//! The forms in which a secret can be written: unchanged, quoted, percent-encoded, in hexadecimal and in base64.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use parallax_vocab::percent::encoded;

/// Returns every form in which programs write `text`, for example in JSON or in a URL. The forms are distinct and none
/// is empty.
pub(super) fn forms(text: &str) -> BTreeSet<String> {
    let mut forms = BTreeSet::from([text.to_owned()]);
    // A log line in JSON may contain an answer in JSON as a string. A secret in that answer is then quoted twice.
    let quoted = in_json(text);
    forms.insert(in_json(&quoted));
    // Go's encoding/json also escapes `<`, `>` and `&`, so that its output is safe in HTML. Go's strconv.Quote needs no
    // form of its own, because it writes the same text as JSON.
    forms.insert(quoted.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026"));
    forms.insert(quoted);
    let percent = encoded(text, false);
    forms.insert(percent.replace("%20", "+"));
    forms.insert(lower_escapes(&percent));
    forms.insert(percent);
    forms.insert(hex::encode(text));
    forms.insert(hex::encode_upper(text));
    for before in 0..3 {
        forms.extend(in_base64(text.as_bytes(), before));
    }
    forms.remove("");
    forms
}

fn in_json(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// Returns the base64 text of `bytes` in a longer text, in which `before` other bytes come before them. Base64
/// characters that also contain bits of other bytes are left out. The result has one text for each of the two base64
/// alphabets (`+/` and `-_`).
fn in_base64(bytes: &[u8], before: usize) -> [String; 2] {
    let mut shifted = vec![0; before];
    shifted.extend_from_slice(bytes);
    // A base64 character encodes six bits. The first characters contain bits of the bytes before the secret, and the
    // last character may contain bits of the bytes after it. These characters are cut off.
    let (from, to) = ((before * 8).div_ceil(6), shifted.len() * 8 / 6);
    let cut = |text: String| text.get(from..to).unwrap_or_default().to_owned();
    [cut(STANDARD_NO_PAD.encode(&shifted)), cut(URL_SAFE_NO_PAD.encode(&shifted))]
}

/// The same text with the percent escapes in lower case, for example `%2f` instead of `%2F`.
fn lower_escapes(percent: &str) -> String {
    let mut rest = 0;
    percent
        .chars()
        .map(|c| {
            rest = if c == '%' { 4_u8 } else { rest }.saturating_sub(1);
            if rest > 0 { c.to_ascii_lowercase() } else { c }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};

    use super::*;

    #[test]
    fn a_secret_is_known_in_each_of_its_forms() {
        let secret = "pa?ss w>rd/\"q\"~9";
        let forms = forms(secret);
        for form in [
            "pa?ss w>rd/\"q\"~9",
            r#"pa?ss w>rd/\"q\"~9"#,
            r#"pa?ss w>rd/\\\"q\\\"~9"#,
            r#"pa?ss w\u003erd/\"q\"~9"#,
            "pa%3Fss%20w%3Erd%2F%22q%22~9",
            "pa%3fss%20w%3erd%2f%22q%22~9",
            "pa%3Fss+w%3Erd%2F%22q%22~9",
            "70613f737320773e72642f2271227e39",
            "70613F737320773E72642F2271227E39",
        ] {
            assert!(forms.contains(form), "{form}: {forms:#?}");
        }
        for before in ["", "u", "us", "use", "user:"] {
            for after in ["", "x", "xy", "xyz"] {
                let whole = format!("{before}{secret}{after}");
                for text in [STANDARD.encode(&whole), URL_SAFE.encode(&whole)] {
                    let longest = forms.iter().filter(|form| text.contains(form.as_str())).map(String::len).max();
                    assert!(longest >= Some(secret.len() * 8 / 6 - 1), "{before}…{after}: {text}");
                }
            }
        }
    }
}
