//! The statement about token keys, limits and ceilings, in one byte form. Knows no key file and no role.

use std::time::Duration;

use crate::{
    encoding,
    jws::Algorithm,
    key_id::KeyId,
    keys::PublicKey,
    revocation::wire::Reader,
    timestamp::Timestamp,
    token::{
        Limits,
        kind::{PerType, TokenType},
        limits::TypeLimit,
    },
    trust::signed::{Statement, Unwritable},
};

/// Which keys sign tokens, and what each type's limits are. Whole: what is not in it does not hold.
#[derive(Clone, Debug)]
pub struct Trust {
    /// The `iss` of the realm's tokens.
    pub issuer: String,
    /// The realm.
    pub realm: String,
    /// Log time when it was stated. An older one is not taken after a younger one.
    pub stated_at: Timestamp,
    /// The token keys, in the order of their ids.
    pub keys: Vec<PublicKey>,
    /// Lifetimes in whole seconds, staleness in whole milliseconds.
    pub limits: Limits,
}

impl Trust {
    /// The most keys.
    pub const MOST_KEYS: usize = 32;

    /// The key of this name.
    pub fn key(&self, id: KeyId) -> Option<&PublicKey> {
        self.keys.iter().find(|key| key.id() == id)
    }

    /// The names of the keys.
    pub fn key_ids(&self) -> Vec<KeyId> {
        self.keys.iter().map(PublicKey::id).collect()
    }

    /// Whether both say the same, whenever it was stated.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let at_once = |trust: &Self| Self { stated_at: Timestamp::EPOCH, ..trust.clone() }.canonical().ok();
        at_once(self) == at_once(other)
    }
}

impl Statement for Trust {
    const CONTEXT: &'static [u8] = b"ipms-trust/v1\0";

    fn canonical(&self) -> Result<Vec<u8>, Unwritable> {
        let mut out = vec![VERSION];
        for text in [&self.issuer, &self.realm] {
            out.extend(u16::try_from(text.len()).map_err(|_long| Unwritable)?.to_be_bytes());
            out.extend(text.as_bytes());
        }
        out.extend(self.stated_at.seconds().to_be_bytes());
        for kind in TokenType::ALL {
            let TypeLimit { lifetime, staleness } = self.limits.get(kind);
            out.extend(lifetime.as_secs().to_be_bytes());
            out.extend(u64::try_from(staleness.as_millis()).map_err(|_long| Unwritable)?.to_be_bytes());
        }
        let count = u8::try_from(self.keys.len()).ok().filter(|_| self.keys.len() <= Self::MOST_KEYS);
        out.push(count.ok_or(Unwritable)?);
        for key in &self.keys {
            out.push(match key.algorithm() {
                Algorithm::Ps256 => 1,
                Algorithm::Rs256 => 2,
            });
            let modulus = encoding::decode(key.jwk_n()).ok_or(Unwritable)?;
            out.extend(u16::try_from(modulus.len()).map_err(|_long| Unwritable)?.to_be_bytes());
            out.extend(modulus);
        }
        Ok(out)
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        if reader.byte().ok()? != VERSION {
            return None;
        }
        let issuer = text(&mut reader)?;
        let realm = text(&mut reader)?;
        let stated_at = Timestamp::from_seconds(reader.u64().ok()?)?;
        let mut limits = PerType::<TypeLimit>::default();
        for kind in TokenType::ALL {
            *limits.get_mut(kind) = TypeLimit {
                lifetime: Duration::from_secs(reader.u64().ok()?),
                staleness: Duration::from_millis(reader.u64().ok()?),
            };
        }
        let count = usize::from(reader.byte().ok()?);
        let mut keys = Vec::new();
        for _ in 0..count {
            let algorithm = match reader.byte().ok()? {
                1 => Algorithm::Ps256,
                2 => Algorithm::Rs256,
                _ => return None,
            };
            let length = usize::from(reader.u16().ok()?);
            let modulus = encoding::encode(reader.take(length).ok()?);
            keys.push(PublicKey::from_jwk(&modulus, EXPONENT, algorithm).ok()?);
        }
        let sorted = keys.is_sorted_by(|one, next| one.id() < next.id());
        let whole = reader.is_empty() && count <= Self::MOST_KEYS && sorted;
        whole.then_some(Self { issuer, realm, stated_at, keys, limits: Limits(limits) })
    }
}

fn text(reader: &mut Reader<'_>) -> Option<String> {
    let length = usize::from(reader.u16().ok()?);
    str::from_utf8(reader.take(length).ok()?).ok().map(str::to_owned)
}

const VERSION: u8 = 1;
/// 65537: no other exponent is ever used.
const EXPONENT: &str = "AQAB";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::tests::signing_key;

    fn trust() -> Trust {
        let mut keys: Vec<_> = [Algorithm::Ps256, Algorithm::Rs256]
            .into_iter()
            .enumerate()
            .map(|(n, algorithm)| signing_key(n, algorithm).public().clone())
            .collect();
        keys.sort_by_key(PublicKey::id);
        Trust {
            issuer: "https://issuer.test".to_owned(),
            realm: "default".to_owned(),
            stated_at: Timestamp::from_seconds(7).unwrap(),
            keys,
            limits: Limits::default(),
        }
    }

    #[test]
    fn a_statement_comes_back_as_it_went_and_no_other_bytes_do() {
        let bytes = trust().canonical().unwrap();
        let back = Trust::decode(&bytes).unwrap();
        assert_eq!(back.canonical().unwrap(), bytes);
        assert_eq!(back.limits, Limits::default());
        assert_eq!(
            back.keys.iter().map(PublicKey::algorithm).collect::<Vec<_>>(),
            trust().keys.iter().map(PublicKey::algorithm).collect::<Vec<_>>()
        );
        for cut in 0..bytes.len() {
            assert!(Trust::decode(&bytes[..cut]).is_none(), "cut at {cut}");
        }
        assert!(Trust::decode(&[bytes, vec![0]].concat()).is_none());
    }

    #[test]
    fn a_key_twice_or_out_of_order_is_no_statement() {
        let mut twice = trust();
        twice.keys = vec![twice.keys[0].clone(), twice.keys[0].clone()];
        assert!(Trust::decode(&twice.canonical().unwrap()).is_none());
        let mut turned = trust();
        turned.keys.reverse();
        assert!(Trust::decode(&turned.canonical().unwrap()).is_none());
    }

    #[test]
    fn the_time_of_a_statement_is_not_what_it_says() {
        let mut later = trust();
        later.stated_at = Timestamp::MAX;
        assert!(later.says_the_same(&trust()));
        later.keys.pop();
        assert!(!later.says_the_same(&trust()));
    }
}
