//! Why a token that another library accepts is refused by ours: found out from the token's text, without any code of ours.

use std::{collections::BTreeSet, fmt};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;

/// Every class, each with the paragraph of docs/TOKEN.md or the RFC that makes us stricter.
pub(super) const NAMES: [&str; 8] = [
    // TOKEN.md, form: at most 4096 bytes, judged before anything is decoded. A general library has no such bound.
    "too long",
    // RFC 8725 section 3.11: a typ of our own. A general library takes any, or none.
    "another typ",
    // RFC 7515 section 4.1.11 wants `crit` understood or refused; we refuse every member but three.
    "a header member that is not ours",
    // RFC 7519 section 4: claim names must be unique, or only the last is taken. We refuse.
    "a doubled claim",
    // A new claim is a new schema, and a missing one has no default.
    "claims of other names",
    // Of another version: to be told apart by a verifier that knows only this one.
    "another schema",
    // Bounds, spellings and types of values that a general library knows nothing of.
    "a value out of its bounds",
    // Rules of issuing that a verifier checks again: contradictions, ceilings, times, holders.
    "against our rules",
];

/// The first class that a token belongs to; `None` when nothing is wrong with it that we know of.
pub(super) fn explained(token: &str) -> Option<&'static str> {
    let mut parts = token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap());
    let (header, claims) = (parts.next().unwrap(), parts.next().unwrap());
    if token.len() > 4_096 {
        return Some(NAMES[0]);
    }
    let all: Value = serde_json::from_slice(&header).unwrap();
    if all["typ"] != "ipms-token+jwt" {
        return Some(NAMES[1]);
    }
    if names(&all) != set(&["alg", "kid", "typ"]) {
        return Some(NAMES[2]);
    }
    if doubled(&claims) {
        return Some(NAMES[3]);
    }
    let all: Value = serde_json::from_slice(&claims).unwrap();
    if all["schema"].as_u64().is_some_and(|schema| schema != 1) {
        return Some(NAMES[5]);
    }
    if !names_are_ours(&all) {
        return Some(NAMES[4]);
    }
    if !values_are_ours(&all) {
        return Some(NAMES[6]);
    }
    against_our_rules(&all).then_some(NAMES[7])
}

fn names(value: &Value) -> BTreeSet<&str> {
    value.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect()
}

fn set<'a>(names: &[&'a str]) -> BTreeSet<&'a str> {
    names.iter().copied().collect()
}

fn names_are_ours(claims: &Value) -> bool {
    let needed = set(&[
        "iss",
        "aud",
        "jti",
        "iat",
        "nbf",
        "exp",
        "sub",
        "token_type",
        "organisation",
        "project",
        "recorded",
        "schema",
    ]);
    let given = names(claims);
    let more: BTreeSet<_> = given.difference(&needed).copied().collect();
    let within =
        |member: &str, wanted: &[&str]| claims.get(member).is_none_or(|one| names(one) == set(wanted));
    let project = &claims["project"];
    let retention: &[&str] = if project["method"] == "NOT_REVERSIBLE" { &[] } else { &["retention_end"] };
    given.is_superset(&needed)
        && more.is_subset(&set(&["cnf", "source"]))
        && within("recorded", &["epoch", "sequence"])
        && within("source", &["project", "organisation"])
        && within("cnf", &["x5t#S256"])
        && names(project) == set(&[&["method", "treatment", "output_format"], retention].concat())
        && names(&project["output_format"]) == set(&["alphabet", "length"])
}

fn values_are_ours(claims: &Value) -> bool {
    let instant = |value: &Value| value.as_u64().is_some_and(|seconds| seconds <= 253_402_300_799);
    let one_of = |value: &Value, words: &[&str]| value.as_str().is_some_and(|text| words.contains(&text));
    let project_id = |value: &Value| {
        let letter = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        value.as_str().is_some_and(|text| (1..=64).contains(&text.len()) && text.bytes().all(letter))
    };
    let uuid = |value: &Value| {
        value.as_str().is_some_and(|text| {
            let digit = |(at, byte)| match at {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
            };
            text.len() == 36
                && text.bytes().enumerate().all(digit)
                && text != "00000000-0000-0000-0000-000000000000"
        })
    };
    let project = &claims["project"];
    let length = project["output_format"]["length"].as_u64();
    let lengths = match project["output_format"]["alphabet"].as_str() {
        Some("ALPHANUMERIC") => 22..=64,
        Some("NUMERIC") => 39..=64,
        Some("HEXADECIMAL") => 32..=64,
        Some("UUID") => 36..=36,
        _ => return false,
    };
    ["iat", "nbf", "exp"].into_iter().all(|name| instant(&claims[name]))
        && project.get("retention_end").is_none_or(instant)
        && length.is_some_and(|length| lengths.contains(&length))
        && claims["schema"].is_u64()
        && ["epoch", "sequence"].into_iter().all(|name| claims["recorded"][name].is_u64())
        && claims["jti"].as_str().is_some_and(|text| text.len() == 22)
        && one_of(&claims["token_type"], &["PSEUDONYMISATION", "REVERSE", "SECONDARY"])
        && one_of(&project["method"], &["REVERSIBLE", "NOT_REVERSIBLE"])
        && one_of(&project["treatment"], &["ALWAYS_SAME", "ALWAYS_DIFFERENT"])
        && project_id(&claims["sub"])
        && uuid(&claims["organisation"])
        && claims.get("source").is_none_or(|source| project_id(&source["project"]) && uuid(&source["organisation"]))
        && claims.get("cnf").is_none_or(|cnf| cnf["x5t#S256"].as_str().is_some_and(|text| text.len() == 43))
        // A list of audiences is one that a general library searches.
        && claims["aud"].is_string()
        && claims["iss"].is_string()
}

/// At the instant and with the holder of [`forge::judge::judged_in_its_minute`].
fn against_our_rules(claims: &Value) -> bool {
    let second = |name: &str| claims[name].as_u64().unwrap();
    let (iat, nbf, exp) = (second("iat"), second("nbf"), second("exp"));
    let now = forge::tokens::ISSUED + 60;
    let retention = claims["project"].get("retention_end").and_then(Value::as_u64).unwrap_or(u64::MAX);
    let kind = claims["token_type"].as_str().unwrap();
    let ceiling = if kind == "REVERSE" { 3_600 } else { 30 * 86_400 };
    let source = claims.get("source");
    let itself = source
        .is_some_and(|one| one["project"] == claims["sub"] && one["organisation"] == claims["organisation"]);
    let holder = URL_SAFE_NO_PAD.encode(forge::tokens::HOLDER);
    exp <= iat
        || exp <= nbf
        || exp > retention
        || exp - iat > ceiling
        || iat.max(nbf) > now + 2
        || now >= exp
        || (kind == "REVERSE" && retention == u64::MAX)
        || (kind == "SECONDARY") != source.is_some()
        || itself
        || claims.get("cnf").is_some_and(|cnf| cnf["x5t#S256"] != holder.as_str())
}

/// Whether any object in it has a member twice.
fn doubled(json: &[u8]) -> bool {
    serde_json::from_slice::<Doubled>(json).unwrap().0
}

struct Doubled(bool);

impl<'de> Deserialize<'de> for Doubled {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Looking)
    }
}

struct Looking;

impl<'de> Visitor<'de> for Looking {
    type Value = Doubled;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Doubled, A::Error> {
        let (mut seen, mut doubled) = (BTreeSet::new(), false);
        while let Some((name, Doubled(inside))) = members.next_entry::<String, Doubled>()? {
            doubled |= inside | !seen.insert(name);
        }
        Ok(Doubled(doubled))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Doubled, A::Error> {
        let mut doubled = false;
        while let Some(Doubled(inside)) = values.next_element()? {
            doubled |= inside;
        }
        Ok(Doubled(doubled))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Doubled, E> {
        Ok(Doubled(false))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Doubled, E> {
        Ok(Doubled(false))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Doubled, E> {
        Ok(Doubled(false))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Doubled, E> {
        Ok(Doubled(false))
    }

    fn visit_str<E>(self, _: &str) -> Result<Doubled, E> {
        Ok(Doubled(false))
    }

    fn visit_unit<E>(self) -> Result<Doubled, E> {
        Ok(Doubled(false))
    }
}
