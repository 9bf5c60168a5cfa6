//! Which form of an entry a reader wants: JSON, or the value's bytes (RFC 9110, 12.5.1).

use http::{HeaderMap, header};

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Json,
    Raw,
}

/// How a media range fits: by name, by its type, by `*/*`.
type Fit = (u8, u16);

/// The form that `Accept` prefers. JSON unless the bytes are asked for more: by a greater weight, or by name against a wildcard.
/// What accepts neither gets JSON: an answer that can be read is worth more than a 406.
pub(crate) fn form(headers: &HeaderMap) -> Form {
    if headers.get(header::ACCEPT).is_none_or(|accept| accept == "*/*") {
        return Form::Json;
    }
    let raw = weight(headers, "application", "octet-stream");
    let json = weight(headers, "application", "json");
    match (raw, json) {
        ((fit_raw, q_raw), (fit_json, q_json)) if q_raw > q_json || (q_raw == q_json && q_raw > 0 && fit_raw > fit_json) => Form::Raw,
        _ => Form::Json,
    }
}

/// Whether the media type is preferred to `application/json`.
pub(crate) fn prefers(headers: &HeaderMap, kind: &str, subtype: &str) -> bool {
    let (wanted, json) = (weight(headers, kind, subtype), weight(headers, "application", "json"));
    wanted.1 > json.1 || (wanted.1 == json.1 && wanted.1 > 0 && wanted.0 > json.0)
}

/// The weight of the range that fits best, in thousandths.
fn weight(headers: &HeaderMap, kind: &str, subtype: &str) -> Fit {
    let ranges = headers.get_all(header::ACCEPT).into_iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    ranges.filter_map(|range| fit(range, kind, subtype)).max_by_key(|(fit, _)| *fit).unwrap_or((0, 0))
}

fn fit(range: &str, kind: &str, subtype: &str) -> Option<Fit> {
    let mut parts = range.split(';').map(str::trim);
    let (range_kind, range_subtype) = parts.next()?.split_once('/')?;
    let fit = match (range_kind, range_subtype) {
        ("*", "*") => 1,
        (name, "*") if name.eq_ignore_ascii_case(kind) => 2,
        (name, sub) if name.eq_ignore_ascii_case(kind) && sub.eq_ignore_ascii_case(subtype) => 3,
        _ => return None,
    };
    let q = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    let q = q.map_or(1.0, |q| q.parse::<f32>().unwrap_or(0.0)).clamp(0.0, 1.0);
    Some((fit, (q * 1000.0) as u16))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_decide() {
        for (accept, wanted) in [
            ("*/*", Form::Json),
            ("application/octet-stream", Form::Raw),
            ("application/octet-stream, */*", Form::Raw),
            ("application/octet-stream;q=0.5, application/json", Form::Json),
            ("application/json;q=0.1, application/octet-stream;q=0.2", Form::Raw),
            ("application/octet-stream;q=0", Form::Json),
            ("application/*", Form::Json),
            ("text/html", Form::Json),
            ("*/*;q=0.1, Application/Octet-Stream;q=0.2", Form::Raw),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            assert_eq!(form(&headers), wanted, "Accept: {accept}");
        }
    }
}
