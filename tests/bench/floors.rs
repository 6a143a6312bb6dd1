//! The least that a figure can be on this machine now: bare cryptography, one write to the disk, one empty call.

use std::{fs::File, io::Write as _, path::Path, time::Duration};

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{KeyPair as _, ParsedPublicKey, RSA_PSS_2048_8192_SHA256, RSA_PSS_SHA256},
};
use common::clock::{Clock as _, SystemClock};
use tonic::transport::Channel;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::stand::Failure;

/// How long `work` takes.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = SystemClock.now().boot;
    let done = work();
    (done, SystemClock.now().boot.since(start))
}

/// How long `work` takes until it is done.
pub(crate) async fn awaited<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let start = SystemClock.now().boot;
    let done = work.await;
    (done, SystemClock.now().boot.since(start))
}

/// A key of 3072 bits, a message as long as a token, and its signature.
pub(crate) struct Bare {
    pair: KeyPair,
    public: ParsedPublicKey,
    message: Vec<u8>,
    signature: Vec<u8>,
}

impl Bare {
    pub(crate) fn new() -> Result<Self, Failure> {
        let pair = KeyPair::generate(KeySize::Rsa3072)?;
        let public = ParsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, pair.public_key().as_ref())?;
        let signature = vec![0; pair.public_modulus_len()];
        let mut bare = Self { pair, public, message: vec![7; 700], signature };
        bare.sign()?;
        Ok(bare)
    }

    pub(crate) fn sign(&mut self) -> Result<Duration, Failure> {
        let Self { pair, message, signature, .. } = self;
        let (signed, span) = timed(|| pair.sign(&RSA_PSS_SHA256, &SystemRandom::new(), message, signature));
        signed?;
        Ok(span)
    }

    pub(crate) fn verify(&self) -> Result<Duration, Failure> {
        let (good, span) = timed(|| self.public.verify_sig(&self.message, &self.signature));
        good?;
        Ok(span)
    }
}

/// A file to which one page is added and brought to the disk.
pub(crate) struct Disk(File);

impl Disk {
    pub(crate) fn new(folder: &Path) -> Result<Self, Failure> {
        Ok(Self(File::create(folder.join("floor"))?))
    }

    pub(crate) fn write(&mut self) -> Result<Duration, Failure> {
        let (written, span) = timed(|| self.0.write_all(&[7; 4096]).and_then(|()| self.0.sync_data()));
        written?;
        Ok(span)
    }
}

/// A call that does nothing.
pub(crate) struct Echo(HealthClient<Channel>);

impl Echo {
    pub(crate) fn new(channel: Channel) -> Self {
        Self(HealthClient::new(channel))
    }

    pub(crate) async fn call(&mut self) -> Result<Duration, Failure> {
        let (answer, span) = awaited(self.0.check(HealthCheckRequest::default())).await;
        answer?;
        Ok(span)
    }
}
