//! Habits of the house that the compiler does not hold: who may know whom, how long a file may be, how it opens.
#![expect(clippy::unwrap_used, reason = "a check that cannot look must fail")]

mod guarantees;
mod security;

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The domain imports nobody, and what both services share knows no transport and no store.
#[test]
fn the_domain_knows_no_transport_and_no_store() {
    const FOREIGN: [&str; 8] = [
        "tonic::",
        "prost::",
        "prost_types",
        "redis::",
        "redb::",
        "tokio::",
        "common::proto",
        "crate::adapters",
    ];
    for folder in ["issuer/src/domain", "verifier/src/domain"] {
        for (path, text) in rust_files(folder) {
            let found = FOREIGN.into_iter().find(|foreign| text.contains(foreign));
            assert_eq!(found, None, "{} reaches for it", path.display());
        }
    }
    for (path, text) in rust_files("common/src") {
        let rooms = ["proto.rs", "convert", "runtime", "guard"];
        if !path.components().any(|part| rooms.iter().any(|room| part.as_os_str() == *room)) {
            let found = FOREIGN.into_iter().chain(["crate::proto"]).find(|foreign| text.contains(foreign));
            assert_eq!(found, None, "{} reaches for it", path.display());
        }
    }
}

#[test]
fn every_file_says_first_what_lives_there_and_stays_short() {
    for folder in ["common", "issuer", "verifier", "tests"] {
        for (path, text) in rust_files(folder) {
            assert_eq!(untidy(&text), None, "{}", path.display());
        }
    }
}

#[test]
fn each_habit_can_be_broken() {
    assert_eq!(untidy("//! Here.\n"), None);
    assert_eq!(untidy("use std::fs;\n"), Some("the first line must be `//!`"));
    assert_eq!(untidy(&"//! Here.\n".repeat(401)), Some("more than 400 lines"));
    assert_eq!(untidy(concat!("//! Here.\nto", "do!();\n")), Some("unfinished"));
    assert_eq!(untidy(concat!("//! Here.\n#[ign", "ore]\n")), Some("a test that does not run"));
}

#[test]
fn the_top_level_holds_what_belongs_there() {
    const ALLOWED: [&str; 12] = [
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE",
        "README.md",
        "common",
        "deploy",
        "docs",
        "issuer",
        "proto",
        "target",
        "tests",
        "verifier",
    ];
    for entry in fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            name.starts_with('.') || ALLOWED.contains(&name.as_str()),
            "{name} does not belong at the top"
        );
    }
}

#[test]
fn readme_and_guide_quote_a_component_that_is_compiled_in_at_most_15_lines() {
    let read = |path| fs::read_to_string(root().join(path)).unwrap();
    let example = read("verifier/examples/guarded.rs");
    let between = |text: &str, from, to| {
        let (_, rest) = text.split_once(from).unwrap();
        rest.split_once(to).unwrap().0.trim().to_owned()
    };
    let component = between(&example, "// begin\n", "// end\n");
    assert!(component.lines().filter(|line| !line.is_empty()).count() <= 15);
    for guide in ["README.md", "docs/INTEGRATION.md"] {
        assert_eq!(between(&read(guide), "```rust\n", "```"), component, "{guide}");
    }
}

#[test]
fn every_page_that_the_doctor_names_is_in_the_runbook() {
    for page in common::runtime::doctor::Page::ALL {
        let (file, anchor) = page.address().split_once('#').unwrap();
        let text = fs::read_to_string(root().join(file)).unwrap();
        let headings = text.lines().filter_map(|line| line.strip_prefix("## "));
        let found = headings.filter(|heading| slug(heading) == anchor).count();
        assert_eq!(found, 1, "{anchor}");
    }
    assert_eq!(slug("Doctor: audit trail"), "doctor-audit-trail");
}

/// The anchor that a heading has in Markdown, as forges make it.
fn slug(heading: &str) -> String {
    let kept = heading.chars().filter(|letter| letter.is_alphanumeric() || "-_ ".contains(*letter));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[test]
fn the_clients_in_other_languages_have_at_most_30_lines() {
    for client in ["python/verify.py", "node/verify.mjs"] {
        let text = fs::read_to_string(root().join("verifier/examples").join(client)).unwrap();
        assert!((10..=30).contains(&text.lines().count()), "{client}");
    }
}

fn untidy(text: &str) -> Option<&'static str> {
    if !text.starts_with("//!") {
        return Some("the first line must be `//!`");
    }
    if text.lines().count() > 400 {
        return Some("more than 400 lines");
    }
    if [concat!("to", "do!("), concat!("unimpl", "emented!(")].iter().any(|mark| text.contains(mark)) {
        return Some("unfinished");
    }
    text.contains(concat!("#[ign", "ore")).then_some("a test that does not run")
}

/// Every Rust file below a folder of the project, with its text. Panics when there is none: a check of nothing proves
/// nothing.
fn rust_files(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty(), "no Rust files below {folder}");
    found
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
