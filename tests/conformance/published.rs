//! That no published file is left out, and that no published key is unknown. Sends nothing itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use common::{
    jws::Algorithm,
    keys::{PublicKey, SigningKey},
};
use serde_json::Value;

use crate::{corpora, read_json, root, running, signatures::pkcs8, text};

/// In process: which module reads them, as a folder or by name. What is not sent to a running verifier says why; all else
/// is, and what has a token's length twice, for the second time finds what the first has left in the cache. An issuer takes no
/// token, no key and no JSON by any call: its own judgement of what it signs is the same code.
const FILES: [(&str, &str, Option<&str>); 10] = [
    ("JSONTestSuite/test_parsing/", "json", None),
    ("JSONTestSuite/test_transform/", "json", None),
    ("jose-cookbook/6.nesting_signatures_and_encryption.json", "jose", None),
    ("jose-cookbook/curve25519/", "jose", None),
    ("jose-cookbook/jwe/", "jose", None),
    ("jose-cookbook/jwk/3_", "published", Some("holds a key alone, and no call takes a key")),
    ("jose-cookbook/jws/", "jose", None),
    ("jose-cookbook/rfc7797/", "jose", None),
    ("rfc7515/", "jose", None),
    ("wycheproof/", "signatures", None),
];

#[test]
fn every_published_file_is_judged_in_process_and_by_a_running_verifier_or_says_why_not() {
    let Some(corpora) = corpora() else { return };
    let sent = running::files_sent(&corpora);
    let mut used = BTreeSet::new();
    let mut files = 0;
    for path in files_below(&corpora).filter(|path| path.extension().is_some_and(|end| end == "json")) {
        files += 1;
        let name = path.strip_prefix(&corpora).unwrap().to_str().unwrap();
        let row = FILES.iter().find(|(prefix, ..)| name.starts_with(prefix));
        let (prefix, module, why_not) = row.unwrap_or_else(|| panic!("{name} is new: judge it"));
        used.insert(prefix);
        let source = fs::read_to_string(root().join(format!("tests/conformance/{module}.rs"))).unwrap();
        let (folder, file) = name.rsplit_once('/').unwrap();
        let read = match folder {
            "wycheproof" | "rfc7515" | "jose-cookbook" => source.contains(file),
            // Every private key anywhere, by the test below.
            "jose-cookbook/jwk" => source.contains("private_keys"),
            folder => source.contains(&format!("\"{}\"", folder.rsplit('/').next().unwrap())),
        };
        assert!(read, "{name} is not read in {module}");
        assert_eq!(sent.contains_key(&path), why_not.is_none(), "{name}: sent, and {why_not:?}");
    }
    assert_eq!(used.len(), FILES.len(), "a row of no file");
    println!("{files} files; {} vectors of {} files are sent", sent.values().sum::<usize>(), sent.len());
}

/// Whoever finds one of them in use can sign whatever they like.
#[test]
fn every_published_private_key_within_our_bounds_is_known_as_published() {
    let mut found = BTreeMap::new();
    for path in files_below(&root().join("tests/vectors/keys")) {
        let key = SigningKey::from_pem(&fs::read_to_string(&path).unwrap(), Algorithm::Rs256).unwrap();
        found.insert(key.public().id().to_string(), (path, key.public().published_in()));
    }
    assert_eq!(found.len(), 3);
    if let Some(corpora) = corpora() {
        for path in files_below(&corpora).filter(|path| path.extension().is_some_and(|end| end == "json")) {
            if path.starts_with(corpora.join("JSONTestSuite")) {
                continue;
            }
            for key in private_keys(&read_json(&path)) {
                found.insert(key.id().to_string(), (path.clone(), key.published_in()));
            }
        }
        assert_eq!(found.len(), 19, "{found:?}");
        // The private half of this one is in the text of RFC 7515, A.2, and not in the file.
        let key = &read_json(&corpora.join("rfc7515/rfc7515_appendix.json"))["tests"][1]["key"];
        let key = PublicKey::from_jwk(text(key, "n"), text(key, "e"), Algorithm::Rs256).unwrap();
        assert_eq!(key.published_in(), Some("RFC 7515"));
    }
    for (id, (path, known)) in &found {
        assert!(known.is_some(), "{id} of {}", path.display());
    }
    // And no other is.
    let (_, own) = harness::keys::new();
    assert_eq!(SigningKey::from_pem(&own, Algorithm::Ps256).unwrap().public().published_in(), None);
}

/// As JWK with its private part (`jose-cookbook/jwk/3_4` among them), or as PKCS #8. Those outside our bounds are left out.
fn private_keys(value: &Value) -> Vec<PublicKey> {
    let mut keys = Vec::new();
    if let Value::Object(members) = value {
        let text = |name: &str| members.get(name).and_then(Value::as_str);
        if let (Some(n), Some(e), Some(_)) = (text("n"), text("e"), text("d")) {
            keys.extend(PublicKey::from_jwk(n, e, Algorithm::Rs256).ok());
        }
        if let Some(hex) = text("privateKeyPkcs8") {
            keys.extend(
                SigningKey::from_pem(&pkcs8(hex), Algorithm::Rs256).ok().map(|key| key.public().clone()),
            );
        }
        keys.extend(members.values().flat_map(private_keys));
    }
    if let Value::Array(values) = value {
        keys.extend(values.iter().flat_map(private_keys));
    }
    keys
}

fn files_below(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let (mut folders, mut files) = (vec![folder.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files.into_iter()
}
