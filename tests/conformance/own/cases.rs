//! What our own vectors are: one change each to a good token. Numbered by the refusal; the numbers stay.

use common::{
    encoding,
    jws::MAX_LEN,
    token::kind::TokenType::{self, Pseudonymisation, Reverse, Secondary},
    verification::Refusal::{
        self, BadSignature, Contradictory, Expired, LifetimeTooLong, Malformed, NotYetValid, RetentionEnded,
        UnknownKey, UnsupportedAlgorithm, UnsupportedSchema, WrongAudience, WrongHolder, WrongIssuer,
        WrongType,
    },
};
use forge::tokens::{Draft, HOLDER, ISSUED, PS256, STRANGER};

/// One file.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) why: &'static str,
    pub(super) draft: Draft,
    /// `None`: accepted.
    pub(super) refused: Option<Refusal>,
}

type Change = fn(&mut Draft);

/// All of them, in the order of their numbers.
pub(super) fn cases() -> Vec<Case> {
    let rows = [accepted(), form(), signature(), claims(), meaning()].concat();
    rows.into_iter()
        .map(|(name, kind, refused, why, change)| {
            let mut draft = Draft::of(kind, name);
            change(&mut draft);
            Case { name, why, draft, refused }
        })
        .collect()
}

type Row = (&'static str, TokenType, Option<Refusal>, &'static str, Change);

// One line, one vector.
#[rustfmt::skip]
fn accepted() -> Vec<Row> {
    vec![
        ("001_accepted_pseudonymisation", Pseudonymisation, None, "good, PS256", |d| d.sign_with(&PS256)),
        ("002_accepted_reverse", Reverse, None, "good, PS256", |d| d.sign_with(&PS256)),
        ("003_accepted_secondary", Secondary, None, "good, RS256", |_| ()),
        ("004_accepted_not_reversible", Pseudonymisation, None, "a project without retention", |d| {
            d.claim(r#""REVERSIBLE","retention_end":1800090000"#, r#""NOT_REVERSIBLE""#);
        }),
        ("005_accepted_bound", Reverse, None, "bound to the holder that is shown", |d| { bind(d); d.holder = Some(HOLDER); }),
        ("006_accepted_last_second", Reverse, None, "one second before exp", |d| d.now = ISSUED + 3_599),
        ("007_accepted_within_leeway", Reverse, None, "two seconds before iat and nbf", |d| d.now = ISSUED - 2),
        ("008_accepted_other_order", Reverse, None, "members in another order, with white space", |d| {
            d.claim(r#""schema":1}"#, r#""aud" : "incert", "schema":1 }"#);
            d.claim(r#""aud":"incert","#, "");
            d.head(r#"{"alg":"RS256","#, r#"{ "alg":"RS256","#);
        }),
        ("009_accepted_one_of_several_types", Secondary, None, "an endpoint that serves two types", |d| d.accepted_types = vec![Pseudonymisation, Secondary]),
    ]
}

#[rustfmt::skip]
fn form() -> Vec<Row> {
    vec![
        ("010_empty", Reverse, Some(Malformed), "no bytes", |d| d.spoil = |_| String::new()),
        ("011_longer_than_4096_bytes", Reverse, Some(Malformed), "well signed, too long: the length is judged first", |d| { fill(d); longer(d); }),
        ("012_exactly_4096_bytes", Reverse, Some(WrongIssuer), "the longest that is read at all", fill),
        ("013_two_parts", Reverse, Some(Malformed), "no signature part", |d| d.spoil = |t| t.rsplit_once('.').unwrap().0.to_owned()),
        ("014_alg_none", Reverse, Some(UnsupportedAlgorithm), "alg none and an empty signature", |d| { d.head("RS256", "none"); d.spoil = unsigned; }),
        ("015_alg_hs256", Reverse, Some(UnsupportedAlgorithm), "a symmetric algorithm over a public key", |d| d.head("RS256", "HS256")),
        ("016_alg_ps384", Reverse, Some(UnsupportedAlgorithm), "another hash", |d| d.head("RS256", "PS384")),
        ("017_alg_of_another_key", Reverse, Some(UnsupportedAlgorithm), "PS256, and the key is an RS256 key", |d| d.head("RS256", "PS256")),
        ("018_typ_jwt", Reverse, Some(Malformed), "another typ", |d| d.head("ipms-token+jwt", "JWT")),
        ("019_header_crit", Reverse, Some(Malformed), "a header member that is not ours", |d| d.head("\"typ\"", "\"crit\":[\"exp\"],\"typ\"")),
        ("020_header_jwk", Reverse, Some(Malformed), "a key in the header", |d| d.head("\"typ\"", "\"jwk\":{},\"typ\"")),
        ("021_header_alg_twice", Reverse, Some(Malformed), "a doubled member", |d| d.head("\"typ\"", "\"alg\":\"RS256\",\"typ\"")),
        ("022_header_without_typ", Reverse, Some(Malformed), "a missing member", |d| d.head("\"typ\":\"ipms-token+jwt\",", "")),
        ("023_header_array", Reverse, Some(Malformed), "an array of the values", |d| {
            for (from, to) in [("{", "["), ("}", "]"), ("\"alg\":", ""), ("\"typ\":", ""), ("\"kid\":", "")] { d.head(from, to); }
        }),
        ("024_four_parts", Reverse, Some(Malformed), "a part too many", |d| d.spoil = |t| t.to_owned() + ".AA"),
        ("025_padding", Reverse, Some(Malformed), "a padded signature", |d| d.spoil = |t| t.to_owned() + "=="),
        ("026_trailing_bits", Reverse, Some(Malformed), "another spelling of the same signature", |d| d.spoil = other_spelling),
        ("027_white_space", Reverse, Some(Malformed), "a line feed at the end", |d| d.spoil = |t| t.to_owned() + "\n"),
        ("028_bearer", Reverse, Some(Malformed), "the header's scheme before the token", |d| d.spoil = |t| format!("Bearer {t}")),
        ("029_kid_of_another_form", Reverse, Some(Malformed), "a chosen key name", |d| {
            let header = String::from_utf8(d.header.clone()).unwrap();
            d.header = format!("{}\"kid\":\"2026-11\"}}", header.split_once("\"kid\"").unwrap().0).into_bytes();
        }),
        ("030_header_trailing", Reverse, Some(Malformed), "bytes behind the header's object", |d| d.header.extend(b"{}")),
    ]
}

#[rustfmt::skip]
fn signature() -> Vec<Row> {
    vec![
        ("040_unknown_key", Reverse, Some(UnknownKey), "well signed by a key that is not announced", |d| d.sign_with(&STRANGER)),
        ("041_no_keys", Reverse, Some(UnknownKey), "no key is announced", |d| d.keys.clear()),
        ("042_signature_changed", Reverse, Some(BadSignature), "one bit", |d| d.spoil = |t| changed(t, 2)),
        ("043_claims_changed", Reverse, Some(BadSignature), "one bit of the claims", |d| d.spoil = |t| changed(t, 1)),
        ("044_signature_of_another_key", Reverse, Some(BadSignature), "another key's signature under this key's name", |d| d.signer = &STRANGER),
        ("045_signature_empty", Reverse, Some(BadSignature), "nothing in its place", |d| d.spoil = unsigned),
        ("046_pkcs1_for_a_pss_key", Reverse, Some(BadSignature), "a PKCS1-v1_5 signature of another key under a PS256 key's name", |d| {
            let signer = d.signer;
            d.sign_with(&PS256);
            d.signer = signer;
        }),
        ("047_expired_and_changed", Reverse, Some(BadSignature), "nothing is read from claims that nobody signed", |d| { d.spoil = |t| changed(t, 2); d.now = ISSUED + 9_999; }),
    ]
}

#[rustfmt::skip]
fn claims() -> Vec<Row> {
    vec![
        ("050_claim_unknown", Reverse, Some(Malformed), "a new claim is a new schema", |d| d.claim("\"schema\"", "\"admin\":true,\"schema\"")),
        ("051_claim_twice", Reverse, Some(Malformed), "a doubled member", |d| d.claim("\"schema\"", "\"iat\":1800000000,\"schema\"")),
        ("052_nested_twice", Reverse, Some(Malformed), "a doubled member of an object", |d| d.claim("\"epoch\":1", "\"epoch\":1,\"epoch\":1")),
        ("053_escaped_twice", Reverse, Some(Malformed), "doubled, and spelled in two ways", |d| d.claim("\"epoch\":1", "\"epo\\u0063h\":1,\"epoch\":1")),
        ("054_claim_missing", Reverse, Some(Malformed), "no recorded", |d| d.claim("\"recorded\":{\"epoch\":1,\"sequence\":42},", "")),
        ("055_null", Reverse, Some(Malformed), "null is not absence", |d| d.claim("\"schema\"", "\"cnf\":null,\"schema\"")),
        ("056_audience_array", Reverse, Some(Malformed), "an array of one", |d| d.claim("\"incert\"", "[\"incert\"]")),
        ("057_exp_fraction", Reverse, Some(Malformed), "1800003600.0", |d| d.claim("1800003600", "1800003600.0")),
        ("058_exp_text", Reverse, Some(Malformed), "a number as text", |d| d.claim("1800003600", "\"1800003600\"")),
        ("059_exp_past_9999", Reverse, Some(Malformed), "past the year 9999", |d| d.claim("1800003600", "253402300800")),
        ("060_iat_negative", Reverse, Some(Malformed), "before 1970", |d| d.claim("\"iat\":1800000000", "\"iat\":-1")),
        ("061_retention_of_not_reversible", Reverse, Some(Malformed), "a retention that cannot be", |d| d.claim("\"REVERSIBLE\"", "\"NOT_REVERSIBLE\"")),
        ("062_no_retention", Reverse, Some(Malformed), "a reversible project without its end", |d| d.claim("\"retention_end\":1800090000,", "")),
        ("063_length_too_short", Reverse, Some(Malformed), "a pseudonym that can be guessed", |d| d.claim("\"length\":32", "\"length\":21")),
        ("064_type_lower_case", Reverse, Some(Malformed), "another spelling of the type", |d| d.claim("\"REVERSE\"", "\"reverse\"")),
        ("065_organisation_upper_case", Secondary, Some(Malformed), "another spelling of a UUID", |d| d.claim("01010101-0101-4101-8101-010101010101", "0A010101-0101-4101-8101-010101010101")),
        ("066_organisation_nil", Reverse, Some(Malformed), "the nil UUID is nobody", |d| d.claim("01010101-0101-4101-8101-010101010101", "00000000-0000-0000-0000-000000000000")),
        ("067_project_letters", Reverse, Some(Malformed), "a project id out of its letters", |d| d.claim("project-a", "project_a")),
        ("068_jti_short", Reverse, Some(Malformed), "an id of 15 bytes", |d| {
            let payload = String::from_utf8(d.payload.clone()).unwrap();
            let jti = payload.split("\"jti\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
            d.claim(&jti, "AAAAAAAAAAAAAAAAAAAA");
        }),
        ("069_holder_short", Reverse, Some(Malformed), "a hash of 16 bytes", |d| d.claim("\"schema\"", "\"cnf\":{\"x5t#S256\":\"AAAAAAAAAAAAAAAAAAAAAA\"},\"schema\"")),
        ("070_trailing", Reverse, Some(Malformed), "bytes behind the object", |d| d.payload.extend(b" x")),
        ("071_array", Reverse, Some(Malformed), "an array in the object's place", |d| d.claim("{\"epoch\":1,\"sequence\":42}", "[1,42]")),
        ("072_not_utf8", Reverse, Some(Malformed), "a byte that is no character", |d| { let at = d.payload.iter().position(|b| *b == b'h').unwrap(); d.payload[at] = 0xff; }),
        ("073_byte_order_mark", Reverse, Some(Malformed), "a byte order mark", |d| d.payload.splice(0..0, [0xef, 0xbb, 0xbf]).for_each(drop)),
        ("074_deep", Reverse, Some(Malformed), "deeply nested", |d| d.payload = [vec![b'['; 1_000], vec![b']'; 1_000]].concat()),
        ("075_schema_2", Reverse, Some(UnsupportedSchema(2)), "the next version of the claims", |d| d.claim("\"schema\":1", "\"schema\":2")),
        ("076_schema_2_new_claims", Reverse, Some(UnsupportedSchema(2)), "told apart with members unknown here", |d| d.claim("\"schema\":1", "\"schema\":2,\"new\":{\"a\":[1.5,null]}")),
        ("077_schema_0", Reverse, Some(UnsupportedSchema(0)), "no version ever", |d| d.claim("\"schema\":1", "\"schema\":0")),
        ("078_schema_missing", Reverse, Some(Malformed), "no version", |d| d.claim(",\"schema\":1", "")),
    ]
}

#[rustfmt::skip]
fn meaning() -> Vec<Row> {
    vec![
        ("080_wrong_issuer", Reverse, Some(WrongIssuer), "a slash more", |d| d.claim("https://issuer.test", "https://issuer.test/")),
        ("081_wrong_audience", Reverse, Some(WrongAudience), "another case", |d| d.claim("\"incert\"", "\"INCERT\"")),
        ("082_reverse_of_irreversible", Reverse, Some(Contradictory), "rule 3", |d| d.claim("\"REVERSIBLE\",\"retention_end\":1800090000", "\"NOT_REVERSIBLE\"")),
        ("083_secondary_without_source", Secondary, Some(Contradictory), "rule 4", |d| d.claim("\"source\":{\"project\":\"project-b\",\"organisation\":\"02020202-0202-4202-8202-020202020202\"},", "")),
        ("084_source_on_reverse", Secondary, Some(Contradictory), "rule 4", |d| { d.claim("\"SECONDARY\"", "\"REVERSE\""); d.accepted_types = vec![Reverse]; }),
        ("085_source_is_self", Secondary, Some(Contradictory), "rule 4", |d| { d.claim("project-b", "project-a"); d.claim("02020202-0202-4202-8202-020202020202", "01010101-0101-4101-8101-010101010101"); }),
        ("086_outlives_retention", Reverse, Some(Contradictory), "rule 7", |d| d.claim("1800090000", "1800003599")),
        ("087_never_valid", Reverse, Some(Contradictory), "exp is iat", |d| d.claim("\"exp\":1800003600", "\"exp\":1800000000")),
        ("088_nbf_at_exp", Reverse, Some(Contradictory), "exp is nbf", |d| d.claim("\"nbf\":1800000000", "\"nbf\":1800003600")),
        ("089_contradictory_and_expired", Reverse, Some(Contradictory), "contradictions come before time", |d| { d.claim("1800090000", "1800003599"); d.now = ISSUED + 9_999; }),
        ("090_wrong_type", Reverse, Some(WrongType), "an endpoint of another type", |d| d.accepted_types = vec![Pseudonymisation, Secondary]),
        ("091_no_type", Reverse, Some(WrongType), "an endpoint that says nothing accepts nothing", |d| d.accepted_types.clear()),
        ("092_other_holder", Reverse, Some(WrongHolder), "bound to another certificate", |d| { bind(d); d.holder = Some([4; 32]); }),
        ("093_no_holder", Reverse, Some(WrongHolder), "bound, and no certificate shown", bind),
        ("094_reverse_too_long", Reverse, Some(LifetimeTooLong), "one second above the ceiling", |d| d.claim("\"exp\":1800003600", "\"exp\":1800003601")),
        ("095_not_yet_valid", Reverse, Some(NotYetValid), "three seconds before iat", |d| d.now = ISSUED - 3),
        ("096_nbf_later", Reverse, Some(NotYetValid), "issued, and not to be used yet", |d| d.claim("\"nbf\":1800000000", "\"nbf\":1800000063")),
        ("097_retention_ended", Reverse, Some(RetentionEnded), "retention and token end together: the reason that no new token mends", |d| { d.claim("1800090000", "1800003600"); d.now = ISSUED + 3_600; }),
        ("098_expired", Reverse, Some(Expired), "exp is exclusive, and has no leeway", |d| d.now = ISSUED + 3_600),
        ("099_expired_long_ago", Pseudonymisation, Some(Expired), "expired, retention goes on", |d| d.now = ISSUED + 80_000),
    ]
}

fn bind(draft: &mut Draft) {
    let cnf = format!("\"cnf\":{{\"x5t#S256\":\"{}\"}},\"schema\"", encoding::encode(&HOLDER));
    draft.claim("\"schema\"", &cnf);
}

/// An issuer so long that the token has as many bytes as one may have.
fn fill(draft: &mut Draft) {
    let room = (MAX_LEN - draft.token().len()) / 4 * 3;
    draft.claim("https://issuer.test", &format!("https://issuer.test{}", "x".repeat(room)));
    while draft.token().len() < MAX_LEN {
        // White space in front of the header's end moves the length by other steps than the claims do.
        let grown = Draft { payload: [b" ", draft.payload.as_slice()].concat(), ..draft.clone() };
        *draft = if grown.token().len() <= MAX_LEN { grown } else { spaced(draft) };
    }
    assert_eq!(draft.token().len(), MAX_LEN);
}

fn spaced(draft: &Draft) -> Draft {
    Draft { header: [draft.header.as_slice(), b" "].concat(), ..draft.clone() }
}

fn longer(draft: &mut Draft) {
    while draft.token().len() <= MAX_LEN {
        draft.payload.push(b' ');
    }
}

fn unsigned(token: &str) -> String {
    format!("{}.", token.rsplit_once('.').unwrap().0)
}

/// The first bit of a part.
fn changed(token: &str, part: usize) -> String {
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    let mut bytes = encoding::decode(&parts[part]).unwrap();
    bytes[20] ^= 1;
    parts[part] = encoding::encode(&bytes);
    parts.join(".")
}

/// A signature of 256 bytes leaves four bits unused in its last letter.
fn other_spelling(token: &str) -> String {
    let last = token.chars().last().unwrap();
    let other = char::from_u32(u32::from(last) + 1).unwrap();
    format!("{}{other}", &token[..token.len() - 1])
}
