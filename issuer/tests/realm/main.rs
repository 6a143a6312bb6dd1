//! A realm over real parts and a clock that a test turns: heads, trimming, loss, a trail that breaks, the feed.

#[cfg(test)]
mod feed;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod log;
#[cfg(test)]
mod others;
#[cfg(test)]
mod register;
#[cfg(test)]
mod signing;
#[cfg(test)]
mod trail;
#[cfg(test)]
mod world;
