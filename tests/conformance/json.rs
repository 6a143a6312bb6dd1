//! Published JSON documents, good and bad, where a token carries JSON: as header, as claims, and inside of claims.

use std::fs;

use common::{
    encoding,
    token::claims::{Claims, InvalidClaims},
    verification::{Refusal, Unverified},
};
use forge::judge::judged_with_claims;

use crate::{Ran, corpora, json_files};

#[test]
fn a_document_in_the_place_of_header_or_claims_is_never_taken() {
    let Some(corpora) = corpora() else { return };
    let mut ran = Ran::default();
    for folder in ["test_parsing", "test_transform"] {
        for path in json_files(&corpora.join("JSONTestSuite").join(folder)) {
            let document = fs::read(&path).unwrap();
            assert_eq!(Claims::from_json(&document), Err(InvalidClaims::Malformed), "{}", path.display());
            let token = format!("{}.e30.AA", encoding::encode(&document));
            assert_eq!(Unverified::parse(&token).err(), Some(Refusal::Malformed), "{}", path.display());
            // Well signed, and still refused.
            if document.len() < 2_000 {
                assert_eq!(judged_with_claims(&document).err(), Some(Refusal::Malformed));
            }
            ran.one(&path);
        }
    }
    let counts: usize = ran.0.values().sum();
    assert!(counts > 300, "{counts}");
    ran.summed("JSON as header and claims");
}

/// Claims of another version are told apart by reading them as JSON, whatever else they hold: so a good document in them
/// must be read, and a bad one be refused.
#[test]
fn a_document_inside_of_claims_is_read_if_and_only_if_it_is_json() {
    let Some(corpora) = corpora() else { return };
    let mut ran = Ran::default();
    for path in json_files(&corpora.join("JSONTestSuite/test_parsing")) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let document = fs::read(&path).unwrap();
        let claims = [br#"{"schema":2,"new":"#.as_slice(), &document, b"}"].concat();
        let read = Claims::from_json(&claims);
        match name.as_bytes()[0] {
            b'y' => assert_eq!(read, Err(InvalidClaims::UnsupportedSchema(2)), "{name}"),
            b'n' => assert_eq!(read, Err(InvalidClaims::Malformed), "{name}"),
            b'i' => assert!(read.is_err(), "{name}"),
            other => panic!("{name}: {other} is new"),
        }
        ran.one(&path);
    }
    ran.summed("JSON inside of claims");
}
