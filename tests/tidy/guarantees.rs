//! Every test that docs/GUARANTEES.md names is one. Reads the document and the sources, nothing else.

use std::{collections::BTreeSet, fs};

use super::{root, rust_files};

#[test]
fn every_promise_is_shown_by_tests_that_exist() {
    let text = fs::read_to_string(root().join("docs/GUARANTEES.md")).unwrap();
    let sources: String = ["common", "issuer", "verifier", "tests"]
        .into_iter()
        .flat_map(rust_files)
        .map(|(_, text)| text)
        .collect();
    let rows = text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| promise"));
    let mut missing = BTreeSet::new();
    let mut rows_seen = 0;
    for row in rows {
        let names: Vec<_> = row.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "nothing shows this: {row}");
        rows_seen += 1;
        missing.extend(names.into_iter().filter(|name| {
            // A test, or a claim that a list of claims runs against several adapters.
            !sources.contains(&format!("fn {name}(")) && !sources.contains(&format!("fn {name}<"))
        }));
    }
    assert!(rows_seen > 30, "only {rows_seen} promises were read");
    assert_eq!(missing, BTreeSet::new(), "named in docs/GUARANTEES.md, and not found");
}
