//! What an operator must be told about the feed. A closed set; raised and ended elsewhere.

/// Something that does not mend itself, or not soon.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
pub enum Alarm {
    /// The file could not be believed.
    #[error("the snapshot was refused and set aside: see the log")]
    SnapshotRefused,
    /// The file was put back, or changed otherwise.
    #[error(
        "the snapshot was changed by somebody else since its lease was written: the lease is not believed"
    )]
    SnapshotRolledBack,
    /// The file cannot be written, so nothing is acknowledged.
    #[error(
        "the snapshot cannot be written: nothing is acknowledged, so every revocation waits for this verifier's limit"
    )]
    SnapshotFailed,
    /// The issuer is behind what is held.
    #[error("the issuer has lost revocations that this verifier holds")]
    IssuerLostEntries,
    /// The issuer's log is another one.
    #[error("the issuer's log is on another branch than the one held")]
    IssuerForked,
    /// The new epoch does not revoke all that is held.
    #[error("the issuer's new epoch lacks revocations that this verifier holds")]
    EpochLacksEntries,
    /// An entry of a newer build.
    #[error("the log holds an entry of a kind that this build does not know")]
    UnknownEntryKind,
    /// The clocks differ.
    #[error("the issuer's log time is more than 60 s ahead of this machine's clock")]
    FutureHead,
    /// Signed by none of the pinned log keys, or badly.
    #[error("the issuer's statements are not signed by a pinned log key")]
    NotTrusted,
    /// Another issuer or realm answers.
    #[error("the issuer that answers is of another name or realm")]
    OtherIssuer,
    /// Keys and limits older than those held.
    #[error("the issuer states keys and limits older than those held")]
    TrustRolledBack,
}

impl Alarm {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::SnapshotRefused,
        Self::SnapshotRolledBack,
        Self::SnapshotFailed,
        Self::IssuerLostEntries,
        Self::IssuerForked,
        Self::EpochLacksEntries,
        Self::UnknownEntryKind,
        Self::FutureHead,
        Self::NotTrusted,
        Self::OtherIssuer,
        Self::TrustRolledBack,
    ];

    /// Whether it ends once an issuer is believed again.
    pub const fn is_about_the_issuer(self) -> bool {
        !matches!(self, Self::SnapshotRefused | Self::SnapshotRolledBack | Self::SnapshotFailed)
    }
}
