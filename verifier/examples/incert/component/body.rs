//! Bodies: `{"data": [..]}`, or one line of comma-separated values (RFC 4180). Never logged.

use axum::{
    body::Body,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};
use serde::{Deserialize, Serialize};

/// Of a whole body; more is 413.
pub(crate) const MOST_BYTES: usize = 1 << 20;
const MOST_VALUES: usize = 10_000;
/// Bytes of one value.
const LONGEST: usize = 1_024;

/// How a caller writes, and wants to be answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Shape {
    Json,
    Csv,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Data {
    data: Vec<String>,
}

impl Shape {
    /// By the content type; `None` is 415.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let (essence, parameters) = text.split_once(';').unwrap_or((text, ""));
        let known = |parameter: &str| {
            let parameter = parameter.trim().to_ascii_lowercase();
            ["", "charset=utf-8", "charset=\"utf-8\"", "header=absent"].contains(&parameter.as_str())
        };
        if !parameters.split(';').all(known) {
            return None;
        }
        match essence.trim().to_ascii_lowercase().as_str() {
            "application/json" => Some(Self::Json),
            "text/csv" => Some(Self::Csv),
            _ => None,
        }
    }

    /// The values; `None` is 422. There is at least one, and none is empty.
    pub(crate) fn read(self, bytes: &[u8]) -> Option<Vec<String>> {
        let values = match self {
            Self::Json => serde_json::from_slice::<Data>(bytes).ok()?.data,
            Self::Csv => read_line(std::str::from_utf8(bytes).ok()?)?,
        };
        let sound = |value: &String| (1..=LONGEST).contains(&value.len());
        ((1..=MOST_VALUES).contains(&values.len()) && values.iter().all(sound)).then_some(values)
    }

    /// The answer, in the shape of the question.
    pub(crate) fn write(self, values: &[String]) -> Response {
        let (kind, text) = match self {
            Self::Json => ("application/json", serde_json::json!({ "data": values }).to_string()),
            Self::Csv => ("text/csv; charset=utf-8", write_line(values)),
        };
        ([(CONTENT_TYPE, HeaderValue::from_static(kind))], Body::from(text)).into_response()
    }
}

fn read_line(text: &str) -> Option<Vec<String>> {
    let mut rest = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
    let mut values = Vec::new();
    loop {
        let (value, after) = if let Some(quoted) = rest.strip_prefix('"') {
            read_quoted(quoted)?
        } else {
            let (value, after) = rest.split_at(rest.find(',').unwrap_or(rest.len()));
            if value.contains(['"', '\r', '\n']) {
                return None;
            }
            (value.to_owned(), after)
        };
        values.push(value);
        if after.is_empty() {
            return Some(values);
        }
        rest = after.strip_prefix(',')?;
    }
}

/// A value after its opening quote, and what comes after the closing one.
fn read_quoted(mut rest: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    loop {
        let (part, after) = rest.split_once('"')?;
        value.push_str(part);
        match after.strip_prefix('"') {
            Some(more) => {
                value.push('"');
                rest = more;
            }
            None => return Some((value, after)),
        }
    }
}

fn write_line(values: &[String]) -> String {
    let quoted = |value: &String| {
        if value.contains(['"', ',', '\r', '\n']) {
            format!("\"{}\"", value.replace('"', "\"\""))
        } else {
            value.clone()
        }
    };
    values.iter().map(quoted).collect::<Vec<_>>().join(",")
}
