//! The issuer's log over real parts and a clock that a test turns: heads, trimming, loss, a trail that breaks.

#[cfg(test)]
mod claims;
#[cfg(test)]
mod world;
