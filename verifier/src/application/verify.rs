//! Verifying a token: the one sequence of checks. Reads the clock once; never asks another machine, a disk or a lock.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use common::{
    clock::{Clock, Now},
    jws::{Algorithm, MAX_LEN},
    revocation::{cursor::Cursor, log::Reach, rule::Subject},
    timestamp::Timestamp,
    token::{
        claims::Claims,
        kind::{PerType, TokenType},
    },
    trust::Trust,
    verification::{Authentic, Current, Live, Policy, Presented, Refusal, Standing, Unverified},
};

use super::{shared_view::SharedView, tally::Tally};
use crate::domain::{
    cache::{TokenDigest, VerifiedTokens, Weigh},
    trust_view::{Position, TrustView},
    view::{Stale, View},
};

/// Answers whether a token may be used now, here.
pub struct Verifier {
    shared: Arc<SharedView>,
    policy: Policy,
    cache: VerifiedTokens<Verified>,
    clock: Arc<dyn Clock>,
    limits: PerType<Option<Duration>>,
    tally: Tally,
}

/// What is asked about one token. Not `Debug`: it holds the token.
#[derive(Clone)]
pub struct Question<'a> {
    /// As received.
    pub token: &'a str,
    /// The types that the caller's endpoint serves.
    pub accepted_types: Vec<TokenType>,
    /// The view must have reached this position.
    pub at_least: Option<Cursor>,
    /// Tightens the type's staleness limit; never relaxes it.
    pub max_staleness: Option<Duration>,
    /// The SHA-256 of the holder's certificate, if one was shown.
    pub holder: Option<[u8; 32]>,
    /// For whom the token must be meant besides the audience of this verifier.
    pub audience: Option<&'a str>,
}

/// An answer, and what it was judged on.
#[derive(Clone, Debug)]
pub struct Judged<T> {
    /// The answer.
    pub answer: T,
    /// The one view behind all of it.
    pub view: Position,
}

/// A decision.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// The token may be used.
    Accepted(Accepted),
    /// It must not be used.
    Refused(Refusal),
}

/// A token that may be used.
#[derive(Clone)]
pub struct Accepted {
    /// What it says.
    pub token: Live,
    /// The least of expiry, retention end and the end of the lease, cut down to the second: until then (exclusive) the
    /// answer may be reused.
    pub usable_until: Timestamp,
    /// What of the answer is the same at every call.
    known: Arc<Verified>,
}

impl Accepted {
    /// What `make` makes of the token: made once, and kept beside it for as long as it is in the cache.
    pub fn rendered(&self, make: impl FnOnce(&Live) -> Box<[u8]>) -> &[u8] {
        self.known.rendered.get_or_init(|| make(&self.token))
    }
}

/// Nobody can tell here and now: to be treated as not accepted (rule 15).
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Undecided {
    /// The view is too old, or there is none.
    #[error("cannot know whether the token is revoked: {0}")]
    Stale(#[from] Stale),
    /// The view has not reached the position asked for.
    #[error("cannot know whether the token is revoked: the position asked for is not reached yet")]
    NotReached,
    /// The position asked for was lost, and never will be reached.
    #[error("the position asked for is of an earlier epoch and was not carried over")]
    CursorLost,
}

impl Verifier {
    /// `limits` are this verifier's own; they only tighten what the issuer announces.
    pub fn new(
        shared: Arc<SharedView>,
        policy: Policy,
        cache: VerifiedTokens<Verified>,
        clock: Arc<dyn Clock>,
        limits: PerType<Option<Duration>>,
    ) -> Self {
        Self { shared, policy, cache, clock, limits, tally: Tally::default() }
    }

    /// Judges one token on the view that stands now.
    pub fn verify(&self, question: &Question<'_>) -> Judged<Result<Verdict, Undecided>> {
        // The view before the clock: what happens in between can only make the view look older.
        let (view, now) = (self.shared.load(), self.clock.now());
        Judged { answer: self.judge(question, &view, &now), view: Position::of(&view, &now) }
    }

    /// Judges several tokens, in order, all on one view and at one instant.
    pub fn verify_all(&self, questions: &[Question<'_>]) -> Judged<Vec<Result<Verdict, Undecided>>> {
        let (view, now) = (self.shared.load(), self.clock.now());
        let answer = questions.iter().map(|question| self.judge(question, &view, &now)).collect();
        Judged { answer, view: Position::of(&view, &now) }
    }

    /// Whether a question about these bytes costs no check of a signature, as far as can be told now.
    pub fn knows(&self, token: &str) -> bool {
        token.len() > MAX_LEN || self.cache.get(&TokenDigest::of(token.as_bytes())).is_some()
    }

    /// What this verifier knows now.
    pub fn trust_view(&self) -> TrustView {
        let (view, now) = (self.shared.load(), self.clock.now());
        TrustView::of(&view, &self.limits, &now)
    }

    /// Whose tokens are judged, and whose log is followed.
    pub fn issuer(&self) -> &str {
        self.policy.issuer()
    }

    /// Counts of all verdicts.
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Bytes that the cache keeps now.
    pub fn cache_bytes(&self) -> u64 {
        self.cache.bytes()
    }

    fn judge(&self, question: &Question<'_>, view: &View, now: &Now) -> Result<Verdict, Undecided> {
        let judged = self.decide(question, view, now).or_else(|no| match no {
            No::Refused(refusal) => Ok(Verdict::Refused(refusal)),
            No::Undecided(undecided) => Err(undecided),
        });
        self.tally.note(&judged);
        judged
    }

    /// The order is the safety argument. Whatever more knowledge could not change is refused, however old the view:
    /// form, signature, claims, and a revocation that is held, since nothing un-revokes. Whatever more knowledge could
    /// change (an unknown key, a ceiling, a token that no held rule hits) is answered on a fresh view only. So an old
    /// view may refuse, and never accepts.
    fn decide(&self, question: &Question<'_>, view: &View, now: &Now) -> Result<Verdict, No> {
        // 1. Without keys and limits nothing can be told from anything.
        let trust = view.trust.as_deref().ok_or(Stale::NothingHeard)?.statement();

        // 2. Form, key and signature: once per token, and looked up from then on.
        let known = self.authenticate(question.token, trust);

        // 3. What the token says, at the later of the own clock and the log's.
        let presented =
            Presented { accepted_types: &question.accepted_types, holder: question.holder.as_ref() };
        let judged_at = view.judged_at(now.wall);
        let (known, current) = known
            .and_then(|known| {
                if question.audience.is_some_and(|audience| audience != self.policy.audience()) {
                    return Err(Refusal::WrongAudience);
                }
                let token = known.token.clone();
                Ok((known, token.check_claims(&self.policy, &trust.limits, &presented, judged_at)?))
            })
            .map_err(|refusal| self.unless_outdated(refusal, question, view, now))?;

        // 4. What the log says. A rule that is held hits, whatever else may have been appended.
        let kind = current.kind();
        let live = current.clone().check_revocation(standing(&current, view)).map_err(No::Refused)?;

        // 5. Not revoked as far as the view reaches: it must reach far enough,
        match question.at_least.map_or(Reach::Reached, |cursor| view.log.reaches(cursor)) {
            Reach::Reached => {}
            Reach::NotYet => return Err(Undecided::NotReached.into()),
            Reach::Lost => return Err(Undecided::CursorLost.into()),
        }

        // 6. and be young enough for this type, by the tightest limit of issuer, verifier and caller.
        let left = view.decidable(kind, self.tightened(kind, question), now.boot)?;

        // 7. For how long the answer holds. Every part is cut down to the second, so no sum is later than the truth.
        let claims = live.claims();
        let lease_end = now.wall.plus(left);
        let retention_end = claims.configuration.method.retention_end().unwrap_or(Timestamp::MAX);
        let usable_until = claims.expires_at.min(retention_end).min(lease_end);
        Ok(Verdict::Accepted(Accepted { token: live, usable_until, known }))
    }

    /// Steps (1) to (3) of [`common::verification`]. A cached token counts only while its key is trusted, for the same
    /// algorithm; otherwise it is judged as if it were new.
    fn authenticate(&self, token: &str, trust: &Trust) -> Result<Arc<Verified>, Refusal> {
        if token.len() > MAX_LEN {
            return Err(Refusal::Malformed);
        }
        let digest = TokenDigest::of(token.as_bytes());
        if let Some(known) = self.cache.get(&digest)
            && trust.key(known.token.key_id()).is_some_and(|key| key.algorithm() == known.algorithm)
        {
            return Ok(known);
        }
        let unverified = Unverified::parse(token)?;
        let key = trust.key(unverified.unverified_key_id()).ok_or(Refusal::UnknownKey)?;
        let authentic = unverified.check_signature(Some(key))?;
        let known = Arc::new(Verified {
            token: authentic,
            algorithm: key.algorithm(),
            length: token.len(),
            rendered: OnceLock::new(),
        });
        self.cache.put(digest, Arc::clone(&known));
        Ok(known)
    }

    /// A refusal that rests on what the issuer announced counts only if nothing else can have been announced since. Of
    /// such a token no type is proven, so the view must be young enough for every type that the caller accepts.
    fn unless_outdated(&self, refusal: Refusal, question: &Question<'_>, view: &View, now: &Now) -> No {
        if !matches!(refusal, Refusal::UnknownKey | Refusal::LifetimeTooLong) {
            return No::Refused(refusal);
        }
        let mut kinds = question.accepted_types.iter();
        let outdated =
            kinds.find_map(|kind| view.decidable(*kind, self.tightened(*kind, question), now.boot).err());
        outdated.map_or(No::Refused(refusal), No::from)
    }

    fn tightened(&self, kind: TokenType, question: &Question<'_>) -> Option<Duration> {
        [*self.limits.get(kind), question.max_staleness].into_iter().flatten().min()
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier")
    }
}

impl fmt::Debug for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accepted").field("id", &self.token.claims().id).finish_non_exhaustive()
    }
}

impl Undecided {
    /// The reason on the wire and in metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Stale(_) | Self::NotReached => "REVOCATIONS_STALE",
            Self::CursorLost => "CURSOR_LOST",
        }
    }
}

/// A token whose form and signature are good, as the cache keeps it.
pub struct Verified {
    token: Authentic,
    algorithm: Algorithm,
    length: usize,
    /// What answers say of it at every call; the transport's to make and to read.
    rendered: OnceLock<Box<[u8]>>,
}

impl Weigh for Verified {
    /// No text of the claims is longer than the token that held them.
    fn weight(&self) -> usize {
        size_of::<Self>() + size_of::<Claims>() + self.length
    }
}

/// Why there is no acceptance.
enum No {
    Refused(Refusal),
    Undecided(Undecided),
}

impl<T: Into<Undecided>> From<T> for No {
    fn from(why: T) -> Self {
        Self::Undecided(why.into())
    }
}

fn standing(token: &Current, view: &View) -> Standing {
    let subject = Subject {
        id: token.id(),
        key: token.key_id(),
        token_type: token.kind(),
        project: token.project(),
        organisation: token.organisation(),
        source: token.source().map(|source| (&source.project, source.organisation)),
        recorded: token.recorded(),
    };
    match view.log.set().standing(&subject) {
        Some(_) => Standing::Revoked,
        None => Standing::NotRevoked,
    }
}

#[cfg(test)]
mod tests;
