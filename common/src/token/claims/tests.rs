//! The strict reading of claims, by example.

use super::*;
use crate::project::Alphabet;

/// Claims that no rule forbids, of any type.
pub(crate) fn claims(kind: TokenType) -> Claims {
    let second = |n: u64| Timestamp::from_seconds(1_800_000_000 + n).unwrap();
    let organisation = |n| OrganisationId::from_bytes([n; 16]);
    Claims {
        issuer: "https://issuer.test".to_owned(),
        audience: "incert".to_owned(),
        id: TokenId::from_bytes([7; 16]),
        issued_at: second(0),
        not_before: second(0),
        expires_at: second(3_600),
        project: "project-a".parse().unwrap(),
        kind,
        organisation: organisation(1),
        configuration: TokenConfiguration {
            method: TokenMethod::Reversible { retention_end: second(3_600) },
            treatment: Treatment::AlwaysSame,
            output_format: OutputFormat::new(Alphabet::Alphanumeric, 32).unwrap(),
        },
        source: (kind == TokenType::Secondary)
            .then(|| Source { project: "project-b".parse().unwrap(), organisation: organisation(2) }),
        recorded: Cursor::new(1, 42),
        holder: None,
    }
}

fn with(from: &str, to: &str) -> Result<Claims, InvalidClaims> {
    let json = String::from_utf8(claims(TokenType::Secondary).to_json().unwrap()).unwrap();
    assert!(json.contains(from), "{from} is not in {json}");
    Claims::from_json(json.replacen(from, to, 1).as_bytes())
}

#[test]
fn what_is_written_is_read_back() {
    for kind in TokenType::ALL {
        let mut written = claims(kind);
        assert_eq!(Claims::from_json(&written.to_json().unwrap()), Ok(written.clone()));
        written.holder = Some([9; 32]);
        written.configuration.method = TokenMethod::NotReversible;
        assert_eq!(Claims::from_json(&written.to_json().unwrap()), Ok(written));
    }
}

#[test]
fn anything_but_our_own_spelling_is_malformed() {
    for (from, to) in [
        (r#""iss":"#, r#""iss":"x","iss":"#),
        (r#""epoch":1"#, r#""epoch":1,"epoch":1"#),
        (r#""schema":1"#, r#""schema":1,"schema":1"#),
        (r#""schema":1"#, r#""schema":1,"extra":0"#),
        (r#""epoch":1"#, r#""epoch":1,"extra":0"#),
        (r#""schema":1"#, r#""schema":1.0"#),
        (r#""schema":1"#, r#""schema":1,"cnf":null"#),
        (r#""schema":1"#, r#""schema":"1""#),
        (r#""schema":1"#, r#""schema":null"#),
        (r#""iat":1800000000"#, r#""iat":1800000000.0"#),
        (r#""iat":1800000000"#, r#""iat":18e8"#),
        (r#""iat":1800000000"#, r#""iat":-1"#),
        (r#""iat":1800000000"#, r#""iat":"1800000000""#),
        (r#""iat":1800000000"#, r#""iat":253402300800"#),
        (r#""aud":"incert""#, r#""aud":["incert"]"#),
        (r#"{"epoch":1,"sequence":42}"#, "[1,42]"),
        (r#""sequence":42"#, r#""sequenc\u0065":42,"sequence":42"#),
        (r#","sequence":42"#, ""),
        (r#""method":"REVERSIBLE""#, r#""method":"NOT_REVERSIBLE""#),
        (r#""retention_end":1800003600,"#, ""),
        (r#""length":32"#, r#""length":21"#),
        ("SECONDARY", "secondary"),
        ("project-a", "Project-A"),
    ] {
        assert_eq!(with(from, to), Err(InvalidClaims::Malformed), "{from} -> {to}");
    }
    for whole in ["", "null", "[]", "1", "{}", "{"] {
        assert_eq!(Claims::from_json(whole.as_bytes()), Err(InvalidClaims::Malformed), "{whole}");
    }
    let mut trailing = claims(TokenType::Reverse).to_json().unwrap();
    trailing.push(b'0');
    assert_eq!(Claims::from_json(&trailing), Err(InvalidClaims::Malformed));
}

#[test]
fn another_schema_is_named_even_with_members_unknown_here() {
    let other = Err(InvalidClaims::UnsupportedSchema(2));
    assert_eq!(with(r#""schema":1"#, r#""schema":2"#), other);
    assert_eq!(with(r#""schema":1"#, r#""schema":2,"new":{}"#), other);
}
