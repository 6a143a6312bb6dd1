//! Text of strangers: tokens, claims, settings files.

use std::{collections::BTreeSet, sync::LazyLock};

use common::{
    encoding,
    runtime::settings_file::SettingsFile,
    token::claims::{Claims, InvalidClaims},
    verification::Unverified,
};
use forge::{judge::judged_in_its_minute, variants::good_tokens};

/// All that anybody signed: header and claims, since PSS makes another signature over them each time.
static SIGNED: LazyLock<BTreeSet<String>> =
    LazyLock::new(|| good_tokens().iter().map(|token| input(token)).collect());

/// No token is accepted that was not signed; one of good form has one spelling; the verdict is the same each time.
pub(crate) fn token(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    if Unverified::parse(text).is_ok() {
        let parts = text.split('.').map(|part| encoding::encode(&encoding::decode(part).unwrap()));
        assert_eq!(parts.collect::<Vec<_>>().join("."), text);
    }
    let verdict = judged_in_its_minute(text).map(drop);
    assert_eq!(verdict, judged_in_its_minute(text).map(drop));
    assert!(verdict.is_err() || SIGNED.contains(&input(text)), "accepted: {text}");
}

fn input(token: &str) -> String {
    token.rsplit_once('.').map(|(input, _)| input.to_owned()).unwrap_or_default()
}

/// Claims that are read are written and read again as the same; what is refused as of another version is JSON.
pub(crate) fn claims(bytes: &[u8]) {
    match Claims::from_json(bytes) {
        Ok(claims) => {
            let written = claims.to_json().unwrap();
            assert_eq!(Claims::from_json(&written), Ok(claims));
        }
        Err(InvalidClaims::UnsupportedSchema(schema)) => assert_ne!(schema, 1),
        Err(InvalidClaims::Malformed) => {}
    }
}

/// A file is taken, or all its mistakes are told, the same ones each time; neither program panics over it.
pub(crate) fn settings(bytes: &[u8]) {
    // What names a device would make the verifier read it: it takes its log keys from files.
    let Some(table) = str::from_utf8(bytes)
        .ok()
        .filter(|text| !text.contains('/'))
        .and_then(|text| text.parse::<toml::Table>().ok())
    else {
        return;
    };
    let issuer = || {
        let read = issuer::settings::Settings::read(SettingsFile::new(table.clone(), [], "ISSUER_"));
        read.map(|settings| format!("{settings:?}")).map_err(|mistakes| mistakes.to_string())
    };
    assert_eq!(issuer(), issuer());
    let verifier = || {
        let file = SettingsFile::new(table.clone(), [], "VERIFIER_");
        let read = verifier::settings::Settings::read(file, "host");
        read.map(|settings| format!("{settings:?}")).map_err(|mistakes| mistakes.to_string())
    };
    assert_eq!(verifier(), verifier());
}
