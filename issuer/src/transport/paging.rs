//! Pages (AIP-158): their size, and opaque tokens that hold only with the filter they were given out for.

use aws_lc_rs::digest::{SHA256, digest};
use common::{convert::Violations, encoding};

/// Reads a page size: absent or zero means 100.
pub fn size(given: i32, violations: &mut Violations) -> Option<usize> {
    let read = match usize::try_from(given) {
        Ok(0) => Ok(DEFAULT),
        Ok(size) if size <= LARGEST => Ok(size),
        Ok(_) | Err(_) => Err("must be 0 (which means 100) to 1,000"),
    };
    violations.check("page_size", read)
}

/// Makes a token that goes on behind `mark`.
pub fn token(mark: &[u8], filter: &[impl AsRef<str>]) -> String {
    encoding::encode(&[&fingerprint(filter)[..], mark].concat())
}

/// Reads a token back: `Some(None)` when none was given, `None` when it is bad or of another filter.
pub fn mark(given: &str, filter: &[impl AsRef<str>], violations: &mut Violations) -> Option<Option<Vec<u8>>> {
    if given.is_empty() {
        return Some(None);
    }
    let read = encoding::decode(given)
        .and_then(|bytes| bytes.strip_prefix(&fingerprint(filter)).map(<[u8]>::to_vec))
        .ok_or("must be the next_page_token of a page with the same filter");
    violations.check("page_token", read).map(Some)
}

/// Notes a token whose mark means nothing.
pub fn refuse(violations: &mut Violations) {
    violations.add("page_token", "must be the next_page_token of a page with the same filter");
}

fn fingerprint(filter: &[impl AsRef<str>]) -> [u8; 8] {
    let mut text = Vec::new();
    for part in filter {
        text.extend((part.as_ref().len() as u64).to_be_bytes());
        text.extend(part.as_ref().as_bytes());
    }
    let mut out = [0; 8];
    for (to, from) in out.iter_mut().zip(digest(&SHA256, &text).as_ref()) {
        *to = *from;
    }
    out
}

const DEFAULT: usize = 100;
const LARGEST: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_holds_with_its_own_filter_only() {
        let violations = &mut Violations::default();
        let token = token(b"mark", &["a", "b"]);
        assert_eq!(mark(&token, &["a", "b"], violations), Some(Some(b"mark".to_vec())));
        assert_eq!(mark("", &["a"], violations), Some(None));
        assert!(violations.found().is_empty());
        assert_eq!(mark(&token, &["ab", ""], violations), None);
        assert_eq!(mark("%", &["a", "b"], violations), None);
        assert_eq!(violations.found().len(), 2);
    }

    #[test]
    fn a_page_size_is_1_to_1_000_and_zero_means_100() {
        let violations = &mut Violations::default();
        assert_eq!([0, 1, 1_000].map(|given| size(given, violations)), [Some(100), Some(1), Some(1_000)]);
        assert_eq!([-1, 1_001].map(|given| size(given, violations)), [None, None]);
        assert_eq!(violations.found().len(), 2);
    }
}
