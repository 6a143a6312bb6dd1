//! What the way between verifiers and issuers, and the machine under them, can do to real processes (RELIABILITY, section 4).

#[cfg(test)]
mod cuts;
#[cfg(test)]
mod link;
#[cfg(test)]
mod poor;
#[cfg(test)]
mod sleep;
#[cfg(test)]
mod stand;
