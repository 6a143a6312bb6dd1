//! The shape of the whole: how large, how deep, and tokens of other forms.

use common::{
    encoding,
    jws::MAX_LEN,
    verification::Refusal::{BadSignature, Malformed, UnsupportedSchema, WrongIssuer},
};

use super::{Family, parts};
use crate::tokens::Draft;

/// Sizes and depths; all but a few are well signed.
pub(super) fn size() -> Family {
    let mut family = Family::new("size", "too long, too deep, too many");
    for (what, filling) in [
        ("letters", "A"),
        ("dots", "."),
        ("spaces", " "),
        ("NULs", "\0"),
        ("letters of three bytes", "\u{20ac}"),
    ] {
        for length in [MAX_LEN, MAX_LEN + 1, 16_384] {
            let text = filling.repeat(length / filling.len());
            family.changed(format!("{length} bytes of {what}"), Malformed, |_| text);
        }
    }
    for dots in [0, 1, 3, 4, 100] {
        family.changed(format!("{dots} dots alone"), Malformed, |_| ".".repeat(dots));
    }
    family.changed("two dots alone", Malformed, |_| "..".to_owned());
    for (what, size) in [("a long", 1_500), ("an endless", 2_600)] {
        let refused = if size > 2_000 { Malformed } else { WrongIssuer };
        family
            .signed(format!("{what} issuer"), refused, |d| d.claim("https://issuer.test", &"x".repeat(size)));
        let refused = Malformed;
        family.signed(format!("{what} project"), refused, |d| d.claim("project-a", &"a".repeat(size)));
        family.signed(format!("{what} number"), refused, |d| d.claim("1800003600", &"9".repeat(size)));
        family.signed(format!("{what} fraction"), refused, |d| {
            d.claim("1800003600", &format!("1.{}", "0".repeat(size)));
        });
        family.signed(format!("{what} exponent"), refused, |d| {
            d.claim("1800003600", &format!("1e{}", "9".repeat(size)));
        });
        family.signed(format!("{what} name of a member"), refused, |d| {
            d.claim(":1}", &format!(":1,\"{}\":0}}", "x".repeat(size)));
        });
        family.signed(format!("{what} header"), refused, |d| {
            super::add(d, &format!("\"x\":\"{}\"", "x".repeat(size)));
        });
        family.signed(format!("{what} list"), refused, |d| {
            d.claim("\"incert\"", &format!("[{}0]", "0,".repeat(size / 2)));
        });
    }
    family.signed("too long by white space alone", Malformed, |d| {
        while d.token().len() <= MAX_LEN {
            d.payload.push(b' ');
        }
    });
    family.signed("too long by a space in the header alone", Malformed, |d| {
        while d.token().len() <= MAX_LEN {
            d.header.push(b' ');
        }
    });
    family.signed("a hundred members that are not ours, or one a hundred times", Malformed, |d| {
        d.claim(":1}", &format!(":1,{}\"x\":0}}", "\"x\":1,".repeat(100)));
    });
    for depth in [1, 126, 127, 128, 129, 1_000] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let inner = if open == "[" { "" } else { "0" };
            let fits = depth * (open.len() + close.len()) < 2_000;
            if fits {
                let deep = format!("{}{inner}{}", open.repeat(depth), close.repeat(depth));
                family.signed(format!("{depth} {open} as the claims"), Malformed, |d| {
                    d.payload = deep.clone().into();
                });
                family.signed(format!("{depth} {open} as a member of the header"), Malformed, |d| {
                    super::add(d, &format!("\"x\":{deep}"));
                });
                family.signed(format!("{depth} {open} in the place of a claim"), Malformed, |d| {
                    d.claim("\"incert\"", &deep);
                });
                // What a newer version nests is passed over without a stack of its own.
                let refused = UnsupportedSchema(2);
                family.signed(format!("{depth} {open} in claims of another version"), refused, |d| {
                    d.claim(":1}", &format!(":2,\"x\":{deep}}}"));
                });
            }
        }
    }
    family
}

/// RFC 8725 section 2.3 and 2.8: tokens in tokens, and tokens of other families.
pub(super) fn nested() -> Family {
    let mut family = Family::new(
        "nested",
        "a token inside of something, something inside of a token, other kinds of tokens",
    );
    let inner = Draft::of(common::token::kind::TokenType::Reverse, "inner").token();
    let [header, claims, signature] = parts(&inner).map(str::to_owned);
    family.signed("a token as the claims", Malformed, |d| d.payload = inner.clone().into());
    family
        .signed("a token in quotes as the claims", Malformed, |d| d.payload = format!("\"{inner}\"").into());
    family.signed("a token as the claims, and cty", Malformed, |d| {
        super::add(d, "\"cty\":\"JWT\"");
        d.payload = inner.clone().into();
    });
    family.signed("a token as a claim", Malformed, |d| {
        d.claim(":1}", &format!(":1,\"jwt\":\"{}\"}}", &inner[..400]));
    });
    for (what, refused, text) in [
        ("encoded whole", Malformed, encoding::encode(inner.as_bytes())),
        (
            "as the flattened JSON",
            Malformed,
            format!(r#"{{"protected":"{header}","payload":"{claims}","signature":"{signature}"}}"#),
        ),
        (
            "as the general JSON",
            Malformed,
            format!(
                r#"{{"payload":"{claims}","signatures":[{{"protected":"{header}","signature":"{signature}"}}]}}"#
            ),
        ),
        (
            "as JSON with a part in the clear",
            Malformed,
            format!(r#"{{"protected":"","header":{{"alg":"none"}},"payload":"{claims}","signature":""}}"#),
        ),
        ("with its claims detached", BadSignature, format!("{header}..{signature}")),
        ("its parts turned round", Malformed, format!("{signature}.{claims}.{header}")),
        ("claims before header", Malformed, format!("{claims}.{header}.{signature}")),
        ("signature before claims", BadSignature, format!("{header}.{signature}.{claims}")),
        ("header and signature alone", Malformed, format!("{header}.{signature}")),
        ("header alone", Malformed, header.clone()),
        ("claims alone", Malformed, claims.clone()),
        ("without its header", Malformed, format!(".{claims}.{signature}")),
        ("a header twice", Malformed, format!("{header}.{header}.{claims}.{signature}")),
        ("its header as its claims", BadSignature, format!("{header}.{header}.{signature}")),
        ("its claims as its header", Malformed, format!("{claims}.{claims}.{signature}")),
        ("with a disclosure (SD-JWT)", Malformed, format!("{inner}~WyJhIiwiZXhwIiwxXQ~")),
        (
            "as a JWE of five parts",
            Malformed,
            format!(
                "{}.AA.AAAAAAAAAAAAAAAA.{claims}.AAAAAAAAAAAAAAAAAAAAAA",
                encoding::encode(br#"{"alg":"RSA-OAEP-256","enc":"A256GCM"}"#)
            ),
        ),
        (
            "as a JWE with our typ and kid",
            Malformed,
            format!("{header}.AA.AAAAAAAAAAAAAAAA.{claims}.AAAAAAAAAAAAAAAAAAAAAA"),
        ),
        (
            "as a JWE without a key",
            Malformed,
            format!(
                "{}..AAAAAAAAAAAAAAAA.{claims}.AAAAAAAAAAAAAAAAAAAAAA",
                encoding::encode(br#"{"alg":"dir","enc":"A256GCM"}"#)
            ),
        ),
        (
            "as a JWE of the password kind",
            Malformed,
            format!(
                "{}.AA.AA.{claims}.AA",
                encoding::encode(br#"{"alg":"PBES2-HS512+A256KW","p2c":2147483647}"#)
            ),
        ),
        ("as PASETO", Malformed, format!("v4.public.{claims}")),
        ("as a CWT", Malformed, encoding::encode(b"\xd2\x84\x43\xa1\x01\x26\xa0\x40\x40")),
        ("an unsecured token of RFC 7519", Malformed, "eyJhbGciOiJub25lIn0.eyJpc3MiOiJqb2UifQ.".to_owned()),
        ("an opaque token", Malformed, "2YotnFZFEjr1zCsicMWpAA".to_owned()),
        (
            "XML",
            Malformed,
            "<saml:Assertion xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\"/>".to_owned(),
        ),
        ("null", Malformed, "null".to_owned()),
        ("undefined", Malformed, "undefined".to_owned()),
    ] {
        family.changed(what, refused, |_| text);
    }
    family
}
