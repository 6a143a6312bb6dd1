//! The credentials of a request (RFC 6750 section 2.1). The token is borrowed and never kept.

use http::{HeaderMap, header::AUTHORIZATION};

use crate::jws::MAX_LEN;

/// What a request shows.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Bearer<'a> {
    /// No bearer token: nothing at all, or another scheme.
    None,
    /// Something that no token can be.
    Unusable,
    /// Perhaps a token.
    Token(&'a str),
}

/// Finds the bearer token. Two headers are no credentials of one caller: neither is believed.
pub(super) fn bearer(headers: &HeaderMap) -> Bearer<'_> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let Some(only) = all.next() else { return Bearer::None };
    if all.next().is_some() {
        return Bearer::Unusable;
    }
    let Ok(text) = only.to_str() else { return Bearer::Unusable };
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
