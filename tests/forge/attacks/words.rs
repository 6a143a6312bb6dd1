//! The claims' JSON, well signed: doubled members, text that is hardly JSON, wrong types, and words that contradict.

use common::{
    encoding,
    token::kind::TokenType::{Pseudonymisation, Reverse, Secondary},
    verification::Refusal::{
        Contradictory, LifetimeTooLong, Malformed, NotYetValid, RetentionEnded, UnsupportedSchema,
        WrongAudience, WrongHolder, WrongIssuer,
    },
};

use super::Family;
use crate::tokens::{Draft, HOLDER};

/// RFC 7519 section 4, RFC 8725 section 2.4: which of two is meant.
pub(super) fn duplicates() -> Family {
    let mut family = Family::new("duplicate_claims", "a claim that is there twice, well signed");
    for member in [
        "\"iss\":\"https://other.test\"",
        "\"aud\":\"other\"",
        "\"jti\":\"AAAAAAAAAAAAAAAAAAAAAA\"",
        "\"iat\":1",
        "\"nbf\":1",
        "\"exp\":4102444800",
        "\"sub\":\"project-b\"",
        "\"token_type\":\"PSEUDONYMISATION\"",
        "\"organisation\":\"02020202-0202-4202-8202-020202020202\"",
        "\"project\":{\"method\":\"NOT_REVERSIBLE\"}",
        "\"recorded\":{\"epoch\":9,\"sequence\":9}",
        "\"recorded\":null",
        "\"schema\":1",
        "\"schema\":2",
    ] {
        family.signed(format!("{member} before"), Malformed, |draft| {
            draft.claim("{\"iss\"", &format!("{{{member},\"iss\""));
        });
        family.signed(format!("{member} behind"), Malformed, |draft| {
            draft.claim(":1}", &format!(":1,{member}}}"));
        });
        let escaped = member.replacen('"', &format!("\"\\u{:04x}", u32::from(member.as_bytes()[1])), 1);
        let escaped = format!("{}{}", &escaped[..7], &escaped[8..]);
        family.signed(format!("{escaped} behind"), Malformed, |draft| {
            draft.claim(":1}", &format!(":1,{escaped}}}"));
        });
    }
    for (inside, member) in [
        ("\"project\":{", "\"method\":\"NOT_REVERSIBLE\""),
        ("\"project\":{", "\"retention_end\":4102444800"),
        ("\"project\":{", "\"treatment\":\"ALWAYS_DIFFERENT\""),
        ("\"project\":{", "\"output_format\":{\"alphabet\":\"UUID\",\"length\":36}"),
        ("\"output_format\":{", "\"alphabet\":\"NUMERIC\""),
        ("\"output_format\":{", "\"length\":64"),
        ("\"recorded\":{", "\"epoch\":9"),
        ("\"recorded\":{", "\"sequence\":9"),
        ("\"source\":{", "\"project\":\"project-c\""),
        ("\"source\":{", "\"organisation\":\"03030303-0303-4303-8303-030303030303\""),
    ] {
        family.signed_as(Secondary, format!("{member} before, in {inside}"), Malformed, |draft| {
            draft.claim(inside, &format!("{inside}{member},"));
        });
    }
    let holder = format!("\"x5t#S256\":\"{}\"", encoding::encode(&HOLDER));
    family.signed("two holders", Malformed, |draft| {
        draft.claim(":1}", &format!(":1,\"cnf\":{{{holder},{holder}}}}}"));
    });
    family.signed("two bindings", Malformed, |draft| {
        draft.claim(":1}", &format!(":1,\"cnf\":{{{holder}}},\"cnf\":{{{holder}}}}}"));
    });
    family
}

/// Text that one parser takes and another does not.
pub(super) fn json() -> Family {
    let mut family = Family::new("claims_json", "claims that are hardly JSON, well signed");
    for whole in [
        "",
        " ",
        "{",
        "{}",
        "[]",
        "[{}]",
        "null",
        "true",
        "0",
        "\"\"",
        "{\"schema\":1}",
        "{\"schema\"}",
        "{\"schema\":}",
        "{}{}",
        "NaN",
        "undefined",
        "{\"iss\":\"https://issuer.test\",\"schema\":1}",
    ] {
        family.signed(format!("the whole is {whole:?}"), Malformed, |draft| draft.payload = whole.into());
    }
    for (from, to) in [
        ("1}", "1,}"),
        ("{\"iss\"", "{,\"iss\""),
        (",\"aud\"", ",,\"aud\""),
        (",\"aud\"", "\"aud\""),
        (",\"aud\"", ";\"aud\""),
        ("\"aud\":", "\"aud\"="),
        ("\"aud\":", "\"aud\"::"),
        ("\"aud\":", "aud:"),
        ("\"aud\":", "'aud':"),
        ("{\"iss\"", "{/**/\"iss\""),
        ("{\"iss\"", "{//\n\"iss\""),
        ("{\"iss\"", "{#\n\"iss\""),
        ("{\"iss\"", "{\u{c}\"iss\""),
        ("{\"iss\"", "{\u{b}\"iss\""),
        ("{\"iss\"", "{\u{a0}\"iss\""),
        ("{\"iss\"", "{\u{2028}\"iss\""),
        ("{\"iss\"", "\u{feff}{\"iss\""),
        ("{\"iss\"", ")]}'\n{\"iss\""),
        ("1}", "1}\0"),
        ("1}", "1}1"),
        ("1}", "1}}"),
        ("1}", "1}{\"schema\":1}"),
        ("1}", "1"),
        ("1}", "1,\"admin\":true}"),
        ("1}", "1,\"\":0}"),
        ("1}", "1,\"__proto__\":{\"exp\":9}}"),
        ("1}", "1,\"roles\":[\"admin\"]}"),
        ("1}", "1,\"act\":{\"sub\":\"a\"}}"),
        ("1}", "1,\"scope\":\"reverse\"}"),
        ("\"incert\"", "\"in\ncert\""),
        ("\"incert\"", "\"in\tcert\""),
        ("\"incert\"", "\"in\\cert\""),
        ("\"incert\"", "\"\\x69ncert\""),
        ("\"incert\"", "'incert'"),
        ("\"incert\"", "incert"),
        ("\"incert\"", "\"incert"),
        ("\"epoch\":1,", "\"epoch\":1,\"new\":0,"),
        ("\"length\":32", "\"length\":32,\"charset\":\"\""),
        ("\"treatment\"", "\"Treatment\""),
        ("\"exp\"", "\"EXP\""),
        ("\"exp\"", "\"exp \""),
        ("\"exp\"", "\"expires\""),
    ] {
        family.claim(Malformed, from, to);
    }
    family
        .signed("UTF-16", Malformed, |d| d.payload = d.payload.iter().flat_map(|byte| [*byte, 0]).collect());
    family.signed("a packed binary form", Malformed, |d| d.payload = b"\x81\xa3iss\xa1x".to_vec());
    family
}

/// RFC 8725 section 3.12 and CVE-2026-25537: values of another type than is looked for.
pub(super) fn types() -> Family {
    let mut family = Family::new("claim_types", "values of wrong types, well signed");
    for (claim, number) in [
        ("iat", "1800000000"),
        ("nbf", "1800000000"),
        ("exp", "1800003600"),
        ("retention_end", "1800090000"),
        ("length", "32"),
        ("epoch", "1"),
        ("sequence", "42"),
        ("schema", "1"),
    ] {
        for other in [
            "null",
            "true",
            "{}",
            "[]",
            &format!("\"{number}\""),
            &format!("[{number}]"),
            &format!("{number}.0"),
            &format!("{number}e0"),
            &format!("-{number}"),
            &format!("{{\"$numberLong\":\"{number}\"}}"),
        ] {
            family.claim(Malformed, &format!("\"{claim}\":{number}"), &format!("\"{claim}\":{other}"));
        }
    }
    for (claim, text) in [
        ("iss", "https://issuer.test"),
        ("aud", "incert"),
        ("sub", "project-a"),
        ("token_type", "REVERSE"),
        ("organisation", "01010101-0101-4101-8101-010101010101"),
        ("method", "REVERSIBLE"),
        ("treatment", "ALWAYS_SAME"),
        ("alphabet", "ALPHANUMERIC"),
    ] {
        for other in
            ["null", "0", "true", "{}", "[]", &format!("[\"{text}\"]"), &format!("{{\"\":\"{text}\"}}")]
        {
            family.claim(Malformed, &format!("\"{claim}\":\"{text}\""), &format!("\"{claim}\":{other}"));
        }
    }
    for (claim, object) in [
        ("recorded", "{\"epoch\":1,\"sequence\":42}"),
        ("output_format", "{\"alphabet\":\"ALPHANUMERIC\",\"length\":32}"),
    ] {
        let text = object.replace('"', "\\\"");
        for other in ["null", "0", "\"\"", "[]", "{}", &format!("[{object}]"), &format!("\"{text}\"")] {
            family.claim(Malformed, &format!("\"{claim}\":{object}"), &format!("\"{claim}\":{other}"));
        }
    }
    for member in [
        "\"cnf\":null",
        "\"cnf\":{}",
        "\"cnf\":\"\"",
        "\"cnf\":[]",
        "\"cnf\":{\"x5t#S256\":null}",
        "\"source\":null",
        "\"source\":{}",
        "\"source\":\"project-b\"",
        "\"cnf\":{\"jkt\":\"AA\"}",
        "\"cnf\":{\"kid\":\"AA\"}",
        "\"cnf\":{\"jwk\":{}}",
    ] {
        family.claim(Malformed, ":1}", &format!(":1,{member}}}"));
    }
    family
}

/// Well signed, well formed, and still not to be accepted.
pub(super) fn meaning() -> Family {
    let mut family = Family::new("meaning", "claims that contradict each other, or are not for here and now");
    for (refused, from, to) in [
        (WrongIssuer, "https://issuer.test", ""),
        (WrongIssuer, "https://issuer.test", "http://issuer.test"),
        (WrongIssuer, "https://issuer.test", "https://issuer.test/"),
        (WrongIssuer, "https://issuer.test", "https://issuer.test."),
        (WrongIssuer, "https://issuer.test", "https://issuer.test:443"),
        (WrongIssuer, "https://issuer.test", "HTTPS://issuer.test"),
        (WrongIssuer, "https://issuer.test", "https://issuer.test.evil.test"),
        (WrongIssuer, "https://issuer.test", " https://issuer.test"),
        (WrongIssuer, "https://issuer.test", "https://issuer.test\\u0000"),
        (WrongIssuer, "https://issuer.test", "https://issuer.test https://other.test"),
        (WrongIssuer, "https://issuer.test", "*"),
        (WrongAudience, "\"incert\"", "\"\""),
        (WrongAudience, "\"incert\"", "\"incer\""),
        (WrongAudience, "\"incert\"", "\"incert \""),
        (WrongAudience, "\"incert\"", "\"incert,other\""),
        (WrongAudience, "\"incert\"", "\"Incert\""),
        (WrongAudience, "\"incert\"", "\"*\""),
        (WrongAudience, "\"incert\"", "\"incert\\u0000\""),
        (Malformed, "\"REVERSE\"", "\"\""),
        (Malformed, "\"REVERSE\"", "\"Reverse\""),
        (Malformed, "\"REVERSE\"", "\"REVERSE \""),
        (Malformed, "\"REVERSE\"", "\"REVERSE,SECONDARY\""),
        (Malformed, "\"REVERSE\"", "\"TOKEN_TYPE_REVERSE\""),
        (Malformed, "\"REVERSE\"", "\"ADMIN\""),
        (Malformed, "project-a", ""),
        (Malformed, "project-a", "project-a/../b"),
        (Malformed, "project-a", "project_a"),
        (Malformed, "project-a", "project-a "),
        (Malformed, "01010101-0101-4101-8101-010101010101", ""),
        (Malformed, "01010101-0101-4101-8101-010101010101", "01010101010141018101010101010101"),
        (Malformed, "01010101-0101-4101-8101-010101010101", "{01010101-0101-4101-8101-010101010101}"),
        (Malformed, "01010101-0101-4101-8101-010101010101", "urn:uuid:01010101-0101-4101-8101-010101010101"),
        (Malformed, "01010101-0101-4101-8101-010101010101", "01010101-0101-4101-8101-01010101010"),
        (Malformed, "01010101-0101-4101-8101-010101010101", "01010101-0101-4101-8101-01010101010G"),
        (Malformed, "\"ALWAYS_SAME\"", "\"SOMETIMES\""),
        (Malformed, "\"REVERSIBLE\"", "\"MAYBE\""),
        (Malformed, "\"ALPHANUMERIC\"", "\"ASCII\""),
        (Malformed, "\"ALPHANUMERIC\"", "\"UUID\""),
        (Malformed, "\"ALPHANUMERIC\"", "\"NUMERIC\""),
        (Contradictory, "\"exp\":1800003600", "\"exp\":1800000000"),
        (Contradictory, "\"exp\":1800003600", "\"exp\":1"),
        (Contradictory, "\"nbf\":1800000000", "\"nbf\":1800003600"),
        (Contradictory, "1800090000", "1800003599"),
        (Contradictory, "\"REVERSIBLE\",\"retention_end\":1800090000", "\"NOT_REVERSIBLE\""),
        (LifetimeTooLong, "\"exp\":1800003600", "\"exp\":1800003601"),
        (LifetimeTooLong, "\"exp\":1800003600", "\"exp\":1800089999"),
        (LifetimeTooLong, "\"iat\":1800000000", "\"iat\":1799999999"),
        (LifetimeTooLong, "\"iat\":1800000000", "\"iat\":0"),
        (NotYetValid, "\"nbf\":1800000000", "\"nbf\":1800000063"),
        (NotYetValid, "\"iat\":1800000000", "\"iat\":1800000063"),
    ] {
        family.claim(refused, from, to);
    }
    family.signed("all of it in the past", RetentionEnded, |draft| {
        for (from, to) in [
            ("1800000000", "1700000000"),
            ("1800000000", "1700000000"),
            ("1800003600", "1700003600"),
            ("1800090000", "1700003600"),
        ] {
            draft.claim(from, to);
        }
    });
    let source =
        "\"source\":{\"project\":\"project-b\",\"organisation\":\"02020202-0202-4202-8202-020202020202\"},";
    for kind in [Pseudonymisation, Reverse] {
        family.signed_as(kind, format!("{kind} with a source"), Contradictory, |d| {
            d.claim("\"recorded\"", &format!("{source}\"recorded\""));
        });
    }
    family.signed_as(Secondary, "SECONDARY without a source", Contradictory, |d| d.claim(source, ""));
    family.signed_as(Secondary, "SECONDARY of itself", Contradictory, own_source);
    family.signed_as(Secondary, "a source without its organisation", Malformed, |d| {
        d.claim(",\"organisation\":\"02020202-0202-4202-8202-020202020202\"}", "}");
    });
    family.signed_as(Secondary, "a source without its project", Malformed, |d| {
        d.claim("\"project\":\"project-b\",", "");
    });
    for kind in [Pseudonymisation, Secondary] {
        family.signed_as(kind, format!("{kind} that lives 30 days and a second"), LifetimeTooLong, |d| {
            d.claim("1800003600", "1802592001");
            d.claim("1800090000", "1900000000");
        });
    }
    for (what, hash) in
        [("another", encoding::encode(&[4; 32])), ("ours, which is not shown,", encoding::encode(&HOLDER))]
    {
        family.signed(format!("bound to {what} certificate"), WrongHolder, |d| {
            d.claim(":1}", &format!(":1,\"cnf\":{{\"x5t#S256\":\"{hash}\"}}}}"));
        });
    }
    for (from, schema) in [("0", 0), ("2", 2), ("18446744073709551615", u64::MAX)] {
        family.signed(format!("schema {from}"), UnsupportedSchema(schema), |d| {
            d.claim("\"schema\":1", &format!("\"schema\":{from}"));
        });
    }
    family
}

fn own_source(draft: &mut Draft) {
    draft.claim("project-b", "project-a");
    draft.claim("02020202-0202-4202-8202-020202020202", "01010101-0101-4101-8101-010101010101");
}
