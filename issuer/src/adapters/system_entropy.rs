//! Random bytes of the operating system. The one place where randomness enters the issuer.

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};

use crate::domain::ports::{Entropy, NoEntropy};

/// The library's generator, seeded by the system.
#[derive(Debug, Default)]
pub struct SystemEntropy(SystemRandom);

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
        self.0.fill(bytes).map_err(|_cause| NoEntropy)
    }
}
