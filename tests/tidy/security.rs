//! docs/SECURITY.md says what is so: each threat names tests that exist, and each bound has the value that the code has.

use std::{collections::BTreeMap, fs};

use super::{root, rust_files};

/// The rows of the table below a heading, without its own head.
fn rows(text: &str, heading: &str) -> Vec<Vec<String>> {
    let (_, section) = text.split_once(&format!("## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let lines = section.lines().filter(|line| line.starts_with("| "));
    lines
        .skip(1)
        .map(|line| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect())
        .collect()
}

fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

#[test]
fn every_threat_is_answered_by_tests_that_exist() {
    let text = fs::read_to_string(root().join("docs/SECURITY.md")).unwrap();
    let sources: String = ["common", "issuer", "verifier", "tests"]
        .into_iter()
        .flat_map(rust_files)
        .map(|(_, text)| text)
        .collect();
    let rows = rows(&text, "Threats, and what shows the answer");
    assert!(rows.len() >= 25, "only {} threats", rows.len());
    for row in rows {
        let [threat, answer, shown] = row.as_slice() else { panic!("not three cells: {row:?}") };
        assert!(
            !answer.is_empty() && quoted(shown).any(|name| name.contains('_')),
            "nothing shows: {threat}"
        );
        for name in quoted(shown).filter(|name| name.contains('_')) {
            assert!(sources.contains(&format!("fn {name}(")), "{threat}: {name} is no test");
        }
    }
}

#[test]
fn every_bound_is_told_with_the_value_it_has() {
    let code = fs::read_to_string(root().join("common/src/runtime/limits.rs")).unwrap();
    let code: BTreeMap<String, String> = code
        .lines()
        .filter_map(|line| {
            let (_, rest) = line.split_once("const ")?;
            let (name, rest) = rest.split_once(": ")?;
            Some((name.to_owned(), words(rest.split_once(" = ")?.1.trim_end_matches(';'))))
        })
        .collect();
    let text = fs::read_to_string(root().join("docs/SECURITY.md")).unwrap();
    let told: BTreeMap<String, String> = rows(&text, "How much anybody may ask for")
        .into_iter()
        .map(|row| (quoted(&row[0]).next().unwrap().to_owned(), row[1].clone()))
        .collect();
    assert!(code.len() > 25);
    assert_eq!(told, code);
}

/// What a constant is, as people say it.
fn words(value: &str) -> String {
    for (make, unit) in [("from_secs", "s"), ("from_mins", "min"), ("from_hours", "h")] {
        if let Some(number) = value.strip_prefix(&format!("Duration::{make}(")) {
            return format!("{} {unit}", number.trim_end_matches(')'));
        }
    }
    if value == "1024 * 1024" {
        return "1 MiB".to_owned();
    }
    for (end, unit) in [(" * 1024 * 1024", "MiB"), (" * 1024", "KiB")] {
        if let Some(number) = value.strip_suffix(end) {
            return format!("{number} {unit}");
        }
    }
    value.replace('_', ",")
}

/// Each exception stands for an argument that somebody made; one more is a decision and not a slip.
#[test]
fn the_written_exceptions_are_the_known_ones() {
    let text = fs::read_to_string(root().join(".deny.toml")).unwrap();
    let table: toml::Table = text.parse().unwrap();
    let ignored = table["advisories"]["ignore"].as_array().unwrap();
    let exceptions: Vec<_> =
        ignored.iter().map(|one| (one["id"].as_str().unwrap(), one["reason"].as_str().unwrap())).collect();
    assert_eq!(exceptions.len(), 1);
    let (id, reason) = exceptions[0];
    assert_eq!(id, "RUSTSEC-2023-0071");
    // What it argues with is still so: the reason in full, and no private-key operation of that crate in what serves.
    assert!(
        reason.contains("docs/adr/0002")
            && root().join("docs/adr/0002-rsa-for-keys-aws-lc-rs-for-signatures.md").exists()
    );
    for (path, text) in ["common/src", "issuer/src", "verifier/src"].into_iter().flat_map(rust_files) {
        for operation in [
            "rsa::pss",
            "rsa::pkcs1v15",
            "rsa::Pss",
            "rsa::Pkcs1v15",
            "rsa::oaep",
            ".decrypt",
            "sign_with_rng",
        ] {
            let product = text.split("#[cfg(test)]").next().unwrap();
            assert!(!product.contains(operation), "{} uses {operation}", path.display());
        }
    }
}
