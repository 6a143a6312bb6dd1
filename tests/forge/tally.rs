//! Counts of what became of forged tokens. Judges only this: a forged token that passes its signature is accepted.

use std::fmt;

use common::verification::Refusal;

/// How many were tried, and how far they came.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    malformed: u64,
    unsupported_algorithm: u64,
    unknown_key: u64,
    bad_signature: u64,
    full_length: u64,
    accepted: u64,
    first_accepted: String,
}

impl Tally {
    /// Counts one. Whatever is refused later than by the signature has passed it, which no forged token may.
    pub fn note<T>(&mut self, token: &str, verdict: &Result<T, Refusal>, change: &impl fmt::Debug) {
        match verdict {
            Err(Refusal::Malformed) => self.malformed += 1,
            Err(Refusal::UnsupportedAlgorithm) => self.unsupported_algorithm += 1,
            Err(Refusal::UnknownKey) => self.unknown_key += 1,
            Err(Refusal::BadSignature) => {
                self.bad_signature += 1;
                let signature = token.rsplit_once('.').map_or(0, |(_, signature)| signature.len());
                self.full_length += u64::from(signature == FULL_LENGTH);
            }
            Ok(_)
            | Err(
                Refusal::WrongIssuer
                | Refusal::WrongAudience
                | Refusal::Expired
                | Refusal::NotYetValid
                | Refusal::LifetimeTooLong
                | Refusal::RetentionEnded
                | Refusal::WrongType
                | Refusal::Contradictory
                | Refusal::UnsupportedSchema(_)
                | Refusal::Revoked
                | Refusal::WrongHolder,
            ) => {
                if self.accepted == 0 {
                    self.first_accepted = format!("{change:?}: {token}");
                }
                self.accepted += 1;
            }
        }
    }

    /// All of them.
    pub const fn tried(&self) -> u64 {
        self.malformed + self.unsupported_algorithm + self.unknown_key + self.bad_signature + self.accepted
    }

    /// Whose form was good, so that the signature was checked.
    pub const fn reached_the_signature(&self) -> u64 {
        self.bad_signature + self.accepted
    }

    /// Those that passed the signature. Anything but 0 is a hole.
    pub const fn accepted(&self) -> u64 {
        self.accepted
    }

    /// The first of them, with what was changed.
    pub fn first_accepted(&self) -> &str {
        &self.first_accepted
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "tried={} signature={} full_length={} malformed={} algorithm={} key={} accepted={}",
            self.tried(),
            self.reached_the_signature(),
            self.full_length,
            self.malformed,
            self.unsupported_algorithm,
            self.unknown_key,
            self.accepted
        )
    }
}

/// Of a signature of 2048 bits in base64url. Of another length it is refused without any arithmetic.
const FULL_LENGTH: usize = 342;
