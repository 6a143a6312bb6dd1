//! Tokens whose signature and token-only checks have passed. Holds no token, and no verdict: time, holder, revocation,
//! lease and key state are judged on every call.

use std::{fmt, sync::Arc};

use aws_lc_rs::digest::{SHA256, digest};
use quick_cache::{Weighter, sync::Cache};

/// The SHA-256 of the exact bytes of a token.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// Of `token` as received.
    pub fn of(token: &[u8]) -> Self {
        let mut bytes = [0; 32];
        for (to, from) in bytes.iter_mut().zip(digest(&SHA256, token).as_ref()) {
            *to = *from;
        }
        Self(bytes)
    }
}

/// How many bytes a value keeps alive, all it points to included.
pub trait Weigh {
    /// Bytes, the value itself included.
    fn weight(&self) -> usize;
}

/// Bounded in bytes. Only successes are put in: attackers make bad tokens without limit, and must evict nobody.
pub struct VerifiedTokens<V>(Cache<TokenDigest, Arc<V>, ByWeight>);

impl<V: Weigh> VerifiedTokens<V> {
    /// Keeps at most about `bytes` bytes, what the cache itself needs included.
    pub fn new(bytes: usize) -> Self {
        let typical = OVERHEAD + 512;
        Self(Cache::with_weighter(bytes / typical, bytes as u64, ByWeight))
    }

    /// What was put in for exactly these bytes.
    pub fn get(&self, token: &TokenDigest) -> Option<Arc<V>> {
        self.0.get(token)
    }

    /// Keeps `verified`, and may drop others for it.
    pub fn put(&self, token: TokenDigest, verified: Arc<V>) {
        self.0.insert(token, verified);
    }

    /// Forgets everything: a key was retired.
    pub fn clear(&self) {
        self.0.clear();
    }

    /// Bytes kept now.
    pub fn bytes(&self) -> u64 {
        self.0.weight()
    }
}

impl<V> fmt::Debug for VerifiedTokens<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VerifiedTokens")
    }
}

#[derive(Clone)]
struct ByWeight;

impl<V: Weigh> Weighter<TokenDigest, Arc<V>> for ByWeight {
    fn weight(&self, _token: &TokenDigest, verified: &Arc<V>) -> u64 {
        (OVERHEAD + verified.weight()) as u64
    }
}

/// What the cache needs for an entry besides the value: key, pointer, counters, its share of the table.
const OVERHEAD: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    struct Sized(usize);

    impl Weigh for Sized {
        fn weight(&self) -> usize {
            self.0
        }
    }

    #[test]
    fn only_the_exact_bytes_find_what_was_put_in() {
        let cache = VerifiedTokens::new(1 << 20);
        cache.put(TokenDigest::of(b"token"), Arc::new(Sized(700)));
        assert!(cache.get(&TokenDigest::of(b"token")).is_some());
        assert!(cache.get(&TokenDigest::of(b"token=")).is_none());
    }

    #[test]
    fn any_number_of_tokens_stays_within_the_bound() {
        let cache = VerifiedTokens::new(1 << 20);
        for number in 0..10_000_u32 {
            cache.put(TokenDigest::of(&number.to_be_bytes()), Arc::new(Sized(700)));
            assert!(cache.bytes() <= 1 << 20);
        }
        assert!(cache.bytes() > 1 << 19, "and the bound is made use of");
    }

    #[test]
    fn a_value_above_the_whole_bound_is_not_kept() {
        let cache = VerifiedTokens::new(1 << 10);
        cache.put(TokenDigest::of(b"token"), Arc::new(Sized(1 << 20)));
        assert!(cache.get(&TokenDigest::of(b"token")).is_none());
    }

    #[test]
    fn nothing_is_left_after_a_key_was_retired() {
        let cache = VerifiedTokens::new(1 << 20);
        cache.put(TokenDigest::of(b"token"), Arc::new(Sized(700)));
        cache.clear();
        assert!(cache.get(&TokenDigest::of(b"token")).is_none());
    }
}
