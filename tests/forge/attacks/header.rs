//! The header's JSON: members that are not ours, doubled, of wrong types, and text that is hardly JSON.

use common::verification::Refusal::Malformed;

use super::Family;
use crate::tokens::Draft;

/// RFC 7515 section 4.1.11, RFC 7797; CVE-2025-59420 and its kind: extensions that are not understood.
pub(super) fn critical() -> Family {
    let mut family = Family::new("critical", "crit, b64, and whatever else changes how a token is read");
    for member in [
        "\"crit\":[]",
        "\"crit\":null",
        "\"crit\":true",
        "\"crit\":\"exp\"",
        "\"crit\":{\"exp\":1}",
        "\"crit\":[\"exp\"]",
        "\"crit\":[\"alg\"]",
        "\"crit\":[\"crit\"]",
        "\"crit\":[\"exp\",\"exp\"]",
        "\"crit\":[1]",
        "\"crit\":[\"\"]",
        "\"crit\":[\"x-mfa\"],\"x-mfa\":true",
        "\"crit\":[\"http://openbanking.org.uk/iat\"]",
        "\"crit\":[\"b64\"],\"b64\":false",
        "\"crit\":[\"b64\"],\"b64\":true",
        "\"crit\":[\"b64\"]",
        "\"b64\":false",
        "\"b64\":true",
        "\"b64\":\"false\"",
        "\"zip\":\"DEF\"",
        "\"zip\":\"GZIP\"",
        "\"cty\":\"JWT\"",
        "\"enc\":\"A256GCM\"",
        "\"apu\":\"AA\"",
        "\"p2c\":2147483647,\"p2s\":\"AA\"",
        "\"iv\":\"AA\",\"tag\":\"AA\"",
        "\"sub_jwk\":{}",
        "\"ppt\":\"shaken\"",
        "\"nonce\":\"AA\"",
        "\"url\":\"http://127.0.0.1:9/\"",
        "\"exp\":4102444800",
        "\"iss\":\"https://issuer.test\"",
        "\"aud\":\"incert\"",
        "\"token_type\":\"REVERSE\"",
        "\"\":\"\"",
        "\"__proto__\":{\"alg\":\"none\"}",
        "\"constructor\":{}",
        "\"$ref\":\"#\"",
    ] {
        family.member(member);
    }
    family.signed("b64 false, and the claims as they are", Malformed, |draft| {
        super::add(draft, "\"crit\":[\"b64\"],\"b64\":false");
        draft.spoil = |token| {
            let [header, claims, signature] = super::parts(token);
            let claims = String::from_utf8(common::encoding::decode(claims).unwrap()).unwrap();
            format!("{header}.{claims}.{signature}")
        };
    });
    family
}

/// RFC 8725 section 2.4 and 2.6: JSON that two parsers read in two ways.
pub(super) fn json() -> Family {
    let mut family =
        Family::new("header_json", "a header that two parsers read in two ways, or that is no object");
    for member in ["alg", "typ", "kid"] {
        for (how, other) in [("another", "\"none\""), ("no", "null"), ("an empty", "\"\"")] {
            for last in [false, true] {
                let place = if last { "behind" } else { "before" };
                family.signed(format!("{member} twice, {how} value {place}"), Malformed, |draft| {
                    twice(draft, &format!("\"{member}\":{other}"), last);
                });
            }
        }
        let escaped = format!("\"\\u{:04x}{}\":\"none\"", u32::from(member.as_bytes()[0]), &member[1..]);
        family
            .signed(format!("{member} twice, once escaped"), Malformed, |draft| twice(draft, &escaped, true));
        let upper = format!("\"{}\":\"none\"", member.to_uppercase());
        family.signed(format!("{member}, and in capitals"), Malformed, |draft| twice(draft, &upper, true));
        family.head(Malformed, &format!("\"{member}\""), &format!("\"{}\"", member.to_uppercase()));
        family.head(Malformed, &format!("\"{member}\""), &format!("\"{member} \""));
        family.head(Malformed, &format!("\"{member}\""), &format!("\"{member}\\u0000\""));
        family.head(Malformed, &format!("\"{member}\""), member);
        family.head(Malformed, &format!("\"{member}\""), &format!("'{member}'"));
    }
    for whole in [
        "",
        " ",
        "{",
        "}",
        "{}",
        "[]",
        "null",
        "true",
        "0",
        "\"\"",
        "{\"alg\"}",
        "{\"alg\":}",
        "[{}]",
        "{}{}",
        "NaN",
        "{\"alg\":\"RS256\",\"typ\":\"ipms-token+jwt\"}",
        "{\"alg\":\"RS256\",\"kid\":\"fN1bOMWCVVbYabhacr_qWYJUMv5rb2kR_yMZB3q_0dI\"}",
    ] {
        family.signed(format!("the whole is {whole:?}"), Malformed, |draft| draft.header = whole.into());
    }
    for (what, from, to) in [
        ("a comma too many", "\"}", "\",}"),
        ("a comma before", "{\"", "{,\""),
        ("no comma", "\",\"", "\"\""),
        ("a comment", "{\"", "{/**/\""),
        ("a line comment", "{\"", "{//\n\""),
        ("an equals sign", "\"alg\":", "\"alg\"="),
        ("a form feed", "{\"", "{\u{c}\""),
        ("a vertical tab", "{\"", "{\u{b}\""),
        ("a space of another kind", "{\"", "{\u{a0}\""),
        ("a byte order mark", "{", "\u{feff}{"),
        ("a NUL behind", "\"}", "\"}\0"),
        ("a second object behind", "\"}", "\"}{\"alg\":\"none\"}"),
        ("a bare line feed in a text", "RS256", "RS\n256"),
        ("a bad escape", "RS256", "\\x52S256"),
        ("half of a surrogate pair", "RS256", "\\ud800RS256"),
        ("a short escape", "RS256", "\\u52"),
    ] {
        family.signed(what, Malformed, |draft| draft.head(from, to));
    }
    family.signed("UTF-16", Malformed, |draft| {
        draft.header = draft.header.iter().flat_map(|byte| [*byte, 0]).collect();
    });
    family.signed("a byte that is no character", Malformed, |draft| draft.header[3] = 0xff);
    family.signed("an overlong quotation mark", Malformed, |draft| {
        draft.header.splice(1..2, [0xc0, 0xa2]);
    });
    family
}

fn twice(draft: &mut Draft, member: &str, last: bool) {
    if last { draft.head("\"}", &format!("\",{member}}}")) } else { draft.head("{", &format!("{{{member},")) }
}

/// RFC 8725 section 3.11: tokens of another kind, and values of another type.
pub(super) fn types() -> Family {
    let mut family = Family::new("header_types", "another typ, and values of wrong types");
    for typ in [
        "",
        "JWT",
        "jwt",
        "JOSE",
        "JOSE+JSON",
        "at+jwt",
        "application/at+jwt",
        "id_token",
        "logout+jwt",
        "dpop+jwt",
        "secevent+jwt",
        "token-introspection+jwt",
        "ipms-token",
        "IPMS-TOKEN+JWT",
        "Ipms-Token+jwt",
        "ipms-token+JWT",
        "application/ipms-token+jwt",
        "ipms-token+jwt ",
        " ipms-token+jwt",
        "ipms-token+jwt;v=1",
        "ipms-token+jwt\\u0000",
        "ipms-head+jwt",
        "ipms-token jwt",
        "ipms‐token+jwt",
    ] {
        family.head(Malformed, "ipms-token+jwt", typ);
    }
    for value in ["null", "1", "true", "[]", "{}", "[\"RS256\"]", "{\"RS256\":1}", "1.5", "-0"] {
        family.head(Malformed, "\"RS256\"", value);
        family.head(Malformed, "\"ipms-token+jwt\"", value);
    }
    family.head(Malformed, ",\"typ\":\"ipms-token+jwt\"", "");
    family.head(Malformed, "\"alg\":\"RS256\",", "");
    family
}
