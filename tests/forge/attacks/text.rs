//! The spelling of the token itself: base64 that decodes to the same bytes, look-alikes, and what carries a token.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use common::{
    encoding,
    token::kind::TokenType::Reverse,
    verification::Refusal::{BadSignature, Malformed, WrongAudience, WrongIssuer},
};

use super::{Family, parts};

type Change = fn(&str) -> String;

const PARTS: [&str; 3] = ["header", "claims", "signature"];

/// RFC 7515 section 2, RFC 4648 section 3.5: one token, many spellings. A cache or a list of ids must not see two.
pub(super) fn base64() -> Family {
    let mut family = Family::new("base64", "another spelling of the same bytes");
    let ways: [(&str, Change); 15] = [
        ("one sign of padding", |part| format!("{part}=")),
        ("two signs of padding", |part| format!("{part}==")),
        ("percent-encoded padding", |part| format!("{part}%3D")),
        ("a letter of five", |part| format!("{part}A")),
        ("unused bits set", unused_bits),
        ("the other base64", |part| STANDARD.encode(encoding::decode(part).unwrap())),
        ("a space before", |part| format!(" {part}")),
        ("a line feed inside", |part| format!("{}\n{}", &part[..8], &part[8..])),
        ("a line end of MIME inside", |part| format!("{}\r\n{}", &part[..76], &part[76..])),
        ("a NUL inside", |part| format!("{}\0{}", &part[..8], &part[8..])),
        ("hexadecimal", |part| hexadecimal(part)),
        ("encoded twice", |part| encoding::encode(part.as_bytes())),
        ("a letter percent-encoded", |part| format!("%{:02X}{}", part.as_bytes()[0], &part[1..])),
        ("a letter of full width", |part| format!("ｅ{}", &part[1..])),
        ("a hyphen of another kind inside", |part| format!("{}\u{2011}{}", &part[..8], &part[8..])),
    ];
    for (number, part) in PARTS.iter().enumerate() {
        for (what, way) in ways {
            // A header of ours is the same in both.
            if number == 0 && what == "the other base64" {
                continue;
            }
            let name = format!("{part}, {what}");
            // Hexadecimal digits and the letters of another encoding are base64url too: of other bytes.
            let other_bytes = matches!(what, "hexadecimal" | "encoded twice" | "a letter of five");
            family.changed(name, Malformed, |good| with_part(good, number, way));
            let last = family.attacks.last_mut().unwrap();
            let replaced = last.token.split('.').nth(number).unwrap();
            if number > 0 && other_bytes && encoding::decode(replaced).is_some() {
                last.refused = BadSignature;
            }
        }
    }
    family.changed("no header", Malformed, |good| with_part(good, 0, |_| String::new()));
    family.changed("no claims", BadSignature, |good| with_part(good, 1, |_| String::new()));
    family.changed("no signature", BadSignature, |good| with_part(good, 2, |_| String::new()));
    for end in ["=", "A", "==", "AA", "AAAA", "\0"] {
        let refused = if end.starts_with('A') { BadSignature } else { Malformed };
        family.changed(format!("{end:?} behind the token"), refused, |good| {
            let [header, claims, signature] = parts(good);
            let bytes = encoding::decode(signature).unwrap();
            let longer = match end {
                "AA" => encoding::encode(&[bytes, vec![0]].concat()),
                "AAAA" => encoding::encode(&[vec![0], bytes].concat()),
                _ => format!("{signature}{end}"),
            };
            format!("{header}.{claims}.{longer}")
        });
    }
    family
}

fn hexadecimal(part: &str) -> String {
    let mut text = String::new();
    for byte in encoding::decode(part).unwrap() {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}

/// The same value with other unused bits; where there are none, with four letters of nothing.
fn unused_bits(part: &str) -> String {
    const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    if part.len().is_multiple_of(4) {
        return format!("{part}====");
    }
    let last = LETTERS.find(&part[part.len() - 1..]).unwrap();
    format!("{}{}", &part[..part.len() - 1], &LETTERS[last + 1..last + 2])
}

fn with_part(good: &str, number: usize, change: fn(&str) -> String) -> String {
    let mut changed = parts(good).map(str::to_owned);
    changed[number] = change(&changed[number]);
    changed.join(".")
}

/// RFC 8725 section 3.7: letters that look alike, or compare as alike after somebody's folding.
pub(super) fn unicode() -> Family {
    let mut family = Family::new("unicode", "letters that look alike, are folded, or are no letters");
    for to in [
        "https://\u{456}ssuer.test",
        "https://issuer.te\u{455}t",
        "https://\u{ff49}ssuer.test",
        "https://issuer\u{3002}test",
        "https://issuer\u{200b}.test",
        "https://issuer\u{ad}.test",
        "\u{feff}https://issuer.test",
        "https://issuer.test\u{202e}",
        "https://\u{131}ssuer.test",
        "https://i\u{17f}suer.test",
        "https://issuer.test\u{a0}",
        "https:\\\\/\\\\/issuer.test",
        "https://issuer.test\\u0000.evil.test",
        "https://issuer.test\\u2028",
    ] {
        family.claim(WrongIssuer, "https://issuer.test", to);
    }
    for to in [
        "\u{456}ncert",
        "inc\u{435}rt",
        "INCERT",
        "\u{131}ncert",
        "ıncert\\u0307",
        "incert\u{301}",
        "incert\\ufeff",
        "\\ud83d\\ude00",
    ] {
        family.claim(WrongAudience, "\"incert\"", &format!("\"{to}\""));
    }
    for (from, to) in [
        ("\"iss\"", "\"\u{456}ss\""),
        ("\"exp\"", "\"e\u{445}p\""),
        ("\"aud\"", "\"a\\u0000ud\""),
        ("\"schema\"", "\"\u{17f}chema\""),
        ("\"REVERSE\"", "\"REVER\u{405}E\""),
        ("\"REVERSE\"", "\"REVERSE\u{200b}\""),
        ("project-a", "project-\u{430}"),
        ("project-a", "project\u{2010}a"),
        ("project-a", "project-\u{1d44e}"),
        ("project-a", "\\ud800project-a"),
        ("project-a", "project-a\\udfff"),
        ("project-a", "project-a\\u0000"),
        ("01010101-", "\u{660}1010101-"),
        ("01010101-", "01010101\u{2013}"),
        ("\"ALWAYS_SAME\"", "\"ALWAYS\u{ff3f}SAME\""),
        ("1800003600", "18000036\u{ff10}0"),
        ("\"incert\"", "\"\\ud83dncert\""),
        ("\"incert\"", "\"\\ude00\\ud83d\""),
    ] {
        family.claim(Malformed, from, to);
    }
    for (what, bytes) in [
        ("an overlong letter", [0xc1, 0xa9].as_slice()),
        ("a surrogate in UTF-8", &[0xed, 0xa0, 0x80]),
        ("past the last letter", &[0xf4, 0x90, 0x80, 0x80]),
        ("a letter cut off", &[0xe2, 0x82]),
        ("a byte of Latin-1", &[0xe9]),
        ("a continuation alone", &[0x80]),
        ("an overlong NUL", &[0xc0, 0x80]),
    ] {
        family.signed(format!("{what} in the audience"), Malformed, |draft| {
            let at = draft.payload.windows(6).position(|window| window == b"incert").unwrap();
            draft.payload.splice(at..=at, bytes.iter().copied());
        });
    }
    family.signed_as(Reverse, "UTF-7", WrongAudience, |draft| draft.claim("\"incert\"", "\"+AGk-ncert\""));
    family
}

/// What carries a token, left on it; and two tokens where one is expected.
pub(super) fn splitting() -> Family {
    let mut family = Family::new("splitting", "a token with what carries tokens, or two of them");
    for (before, after) in [
        ("Bearer ", ""),
        ("bearer ", ""),
        ("Bearer", ""),
        ("DPoP ", ""),
        ("Basic ", ""),
        ("authorization: Bearer ", ""),
        (" ", ""),
        ("\t", ""),
        ("\n", ""),
        ("\0", ""),
        ("\u{feff}", ""),
        ("\"", "\""),
        ("'", "'"),
        ("<", ">"),
        ("token=", ""),
        (".", ""),
        ("", "."),
        ("", ".."),
        ("", " "),
        ("", "\t"),
        ("", "\n"),
        ("", "\r\n"),
        ("", "\0"),
        ("", "\0.\0"),
        ("", ";q=1"),
        ("", "?a=b"),
        ("", "#"),
        ("", "%00"),
        ("", "%0d%0aX-Admin: 1"),
        ("", "\r\nX-Admin: 1"),
        ("", "\r\n\r\nGET / HTTP/1.1"),
        ("", "\u{2028}"),
        ("", "\u{200b}"),
        ("", "~"),
        ("", "/../x"),
        ("", ", Bearer x"),
    ] {
        family.changed(format!("{before:?} and {after:?} around it"), Malformed, |good| {
            format!("{before}{good}{after}")
        });
    }
    for between in [",", ", ", " ", ";", "&", "\n", ".", "|", "\0", ""] {
        // Without anything between them the second header makes the first signature longer, and there are two dots more.
        family.changed(format!("twice, {between:?} between"), Malformed, |good| {
            format!("{good}{between}{good}")
        });
    }
    for (what, dots) in [
        ("commas for dots", ","),
        ("spaces for dots", " "),
        ("percent-encoded dots", "%2E"),
        ("wide dots", "\u{ff0e}"),
        ("two dots each", ".."),
    ] {
        family.changed(what, Malformed, |good| good.replace('.', dots));
    }
    family
}
