//! Fuzz targets: each takes any bytes and panics when a promise is broken. Never a rule of its own.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a broken promise must be seen"
)]

mod requests;
mod stored;
mod words;

/// Takes any bytes.
pub type Target = fn(&[u8]);

/// Their names. What is kept for each is in `corpus/<name>`.
pub const TARGETS: [(&str, Target); 7] = [
    ("token", words::token),
    ("claims", words::claims),
    ("settings", words::settings),
    ("entry", stored::entry),
    ("head", stored::head),
    ("snapshot", stored::snapshot),
    ("requests", requests::requests),
];

/// The target of this name.
pub fn target(name: &str) -> Target {
    let found = TARGETS.iter().find(|(known, _)| *known == name);
    found.map_or_else(|| panic!("no target is called {name:?}"), |(_, target)| *target)
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::TARGETS;

    /// What was ever worth keeping goes through every target again, in every ordinary run.
    #[test]
    fn the_kept_corpus_breaks_no_promise() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
        for (name, target) in TARGETS {
            let mut ran = 0;
            for entry in fs::read_dir(corpus.join(name)).unwrap() {
                target(&fs::read(entry.unwrap().path()).unwrap());
                ran += 1;
            }
            assert!(ran > 0, "nothing is kept for {name}");
        }
    }
}
