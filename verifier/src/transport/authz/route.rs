//! What a route of a proxy says of itself: the types that it serves and its audience. Nothing that a request could say.

use common::{convert::Violations, token::kind::TokenType};

/// A route.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Route<'a> {
    pub(super) accepted_types: Vec<TokenType>,
    pub(super) audience: Option<&'a str>,
}

impl<'a> Route<'a> {
    /// Reads it. `place` is where the words stand, for the errors. A word that is not known is a mistake: it may be a
    /// known one misspelt.
    pub(super) fn read(
        place: &str,
        words: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let (mut types, mut audience) = (None, None);
        for (name, value) in words {
            let (slot, field) = match name {
                "accepted_types" => (&mut types, TYPES),
                "audience" => (&mut audience, AUDIENCE),
                _ => {
                    violations.add(place, "must hold accepted_types and audience, and nothing else");
                    continue;
                }
            };
            if slot.replace(value).is_some() {
                violations.add(format!("{place}.{field}"), "must be given once");
            }
        }
        if audience == Some("") {
            violations.add(format!("{place}.{AUDIENCE}"), "must not be empty");
        }
        let accepted_types = types.and_then(read_types);
        if accepted_types.is_none() {
            violations.add(
                format!("{place}.{TYPES}"),
                "must be a list, with commas, of PSEUDONYMISATION, REVERSE and SECONDARY, each once at most",
            );
        }
        violations.finish(accepted_types.map(|accepted_types| Self { accepted_types, audience }))
    }
}

fn read_types(list: &str) -> Option<Vec<TokenType>> {
    let types: Vec<_> = list.split(',').map(|word| TokenType::parse(word.trim())).collect::<Option<_>>()?;
    let twice =
        types.iter().enumerate().any(|(index, kind)| types.iter().skip(index + 1).any(|one| one == kind));
    (!twice).then_some(types)
}

const TYPES: &str = "accepted_types";
const AUDIENCE: &str = "audience";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_says_what_it_serves_and_nothing_that_is_not_understood() {
        let read = |words: &[(&'static str, &'static str)]| Route::read("route", words.iter().copied());
        let both =
            Route { accepted_types: vec![TokenType::Reverse, TokenType::Secondary], audience: Some("a") };
        assert_eq!(read(&[("audience", "a"), ("accepted_types", "REVERSE, SECONDARY")]), Ok(both));
        for (words, fields) in [
            (&[][..], &["route.accepted_types"][..]),
            (&[("accepted_types", "")], &["route.accepted_types"]),
            (&[("accepted_types", "reverse")], &["route.accepted_types"]),
            (&[("accepted_types", "REVERSE,REVERSE")], &["route.accepted_types"]),
            (&[("accepted_types", "REVERSE"), ("audience", "")], &["route.audience"]),
            (&[("accepted_types", "REVERSE"), ("audiense", "a")], &["route"]),
            (&[("accepted_types", "REVERSE"), ("accepted_types", "REVERSE")], &["route.accepted_types"]),
        ] {
            let violations = read(words).unwrap_err();
            let found: Vec<_> = violations.found().iter().map(|one| &*one.field).collect();
            assert_eq!(found, fields, "{words:?}");
        }
    }
}
