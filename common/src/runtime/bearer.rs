//! The credentials of a request (RFC 6750 section 2.1). The token is borrowed and never kept.

use http::{HeaderMap, header::AUTHORIZATION};

use crate::jws::MAX_LEN;

/// What a request shows.
#[derive(Clone, Copy, Eq, PartialEq)]
pub enum Bearer<'a> {
    /// No bearer token: nothing at all, or another scheme.
    None,
    /// Something that no token can be.
    Unusable,
    /// Perhaps a token.
    Token(&'a str),
}

/// Finds the bearer token.
pub fn bearer(headers: &HeaderMap) -> Bearer<'_> {
    // What is no text cannot be a token, but it is something.
    bearer_of(headers.get_all(AUTHORIZATION).iter().map(|value| value.to_str().unwrap_or("bearer")))
}

/// Finds the bearer token in the values of `authorization`. Two of them are no credentials of one caller: neither is
/// believed.
pub fn bearer_of<'a>(mut values: impl Iterator<Item = &'a str>) -> Bearer<'a> {
    let Some(text) = values.next() else { return Bearer::None };
    if values.next().is_some() {
        return Bearer::Unusable;
    }
    let (scheme, rest) = text.split_once(' ').unwrap_or((text, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Bearer::None;
    }
    let token = rest.trim_start_matches(' ');
    let fits = (1..=MAX_LEN).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic());
    if fits { Bearer::Token(token) } else { Bearer::Unusable }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(values: &[&str]) -> HeaderMap {
        let value = |text: &&str| (AUTHORIZATION, HeaderValue::from_str(text).unwrap());
        values.iter().map(value).collect()
    }

    #[test]
    fn only_one_bearer_token_counts() {
        for (values, token) in [(["Bearer a.b.c"], "a.b.c"), (["bearer a"], "a"), (["BEARER  a"], "a")] {
            assert!(bearer(&of(&values)) == Bearer::Token(token), "{values:?}");
        }
        for values in [&[][..], &["Basic YTpi"], &["Bearers a"], &[""]] {
            assert!(bearer(&of(values)) == Bearer::None, "{values:?}");
        }
        let long = format!("Bearer {}", "a".repeat(MAX_LEN + 1));
        for values in [&["Bearer"][..], &["Bearer "], &["Bearer a b"], &["Bearer a", "Bearer a"], &[&long]] {
            assert!(bearer(&of(values)) == Bearer::Unusable, "{values:?}");
        }
    }
}
