//! Several issuers on one Redis, as programs: one log, one register, and what happens when Redis loses what it held.

#[cfg(test)]
mod losses;
#[cfg(test)]
mod outage;
#[cfg(test)]
mod realm;
#[cfg(test)]
mod register;
#[cfg(test)]
mod transfer;
