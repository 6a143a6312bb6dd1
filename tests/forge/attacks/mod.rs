//! Attacks on tokens: what RFC 8725 and published advisories tell of, each with the refusal it must meet. One file, a few
//! families. All are shown to an endpoint of every type, a minute after they were issued, without a certificate.

mod binding;
mod header;
mod key;
mod numbers;
mod shape;
mod signature;
mod text;
mod words;

use common::{
    jws::Algorithm,
    token::kind::TokenType,
    verification::Refusal::{self, Malformed},
};

use crate::tokens::Draft;

/// Attacks of one kind.
#[derive(Clone, Debug)]
pub struct Family {
    /// The name of its file.
    pub name: &'static str,
    /// What is tried.
    pub what: &'static str,
    /// At least one.
    pub attacks: Vec<Attack>,
}

/// One token that must be refused.
#[derive(Clone, Debug)]
pub struct Attack {
    /// What was done to it; in its family, no other is called so.
    pub name: String,
    /// As received.
    pub token: String,
    /// How it is refused while both test keys are announced.
    pub refused: Refusal,
    /// The algorithm of the key that its header names, if it names one.
    pub key: Algorithm,
    /// Whether making it again makes another signature.
    pub random: bool,
}

/// All of them.
pub fn families() -> Vec<Family> {
    vec![
        key::algorithm(),
        key::embedded(),
        key::key_id(),
        header::critical(),
        header::json(),
        header::types(),
        words::duplicates(),
        words::json(),
        words::types(),
        words::meaning(),
        numbers::extremes(),
        text::base64(),
        text::unicode(),
        text::splitting(),
        shape::size(),
        shape::nested(),
        signature::forged(),
        binding::crossed(),
    ]
}

impl Family {
    fn new(name: &'static str, what: &'static str) -> Self {
        Self { name, what, attacks: Vec::new() }
    }

    /// A reverse token that is changed and then signed.
    fn signed(&mut self, name: impl Into<String>, refused: Refusal, change: impl FnOnce(&mut Draft)) {
        self.signed_as(TokenType::Reverse, name, refused, change);
    }

    /// As [`Family::signed`], of another type.
    fn signed_as(
        &mut self,
        kind: TokenType,
        name: impl Into<String>,
        refused: Refusal,
        change: impl FnOnce(&mut Draft),
    ) {
        let name = name.into();
        let mut draft = Draft::of(kind, &format!("{} {name}", self.name));
        change(&mut draft);
        let random = draft.signer.public().algorithm() == Algorithm::Ps256;
        let key = if String::from_utf8_lossy(&draft.header).contains(&ps256_name()) {
            Algorithm::Ps256
        } else {
            Algorithm::Rs256
        };
        self.attacks.push(Attack { name, token: draft.token(), refused, key, random });
    }

    /// A good reverse token that is changed when it is signed.
    fn changed(&mut self, name: impl Into<String>, refused: Refusal, change: impl FnOnce(&str) -> String) {
        let name = name.into();
        let good = Draft::of(TokenType::Reverse, &format!("{} {name}", self.name)).token();
        self.attacks.push(Attack {
            name,
            token: change(&good),
            refused,
            key: Algorithm::Rs256,
            random: false,
        });
    }

    /// Another text in the place of the claims' `from`.
    fn claim(&mut self, refused: Refusal, from: &str, to: &str) {
        self.signed(format!("{from} becomes {to}"), refused, |draft| draft.claim(from, to));
    }

    /// Another text in the place of the header's `from`.
    fn head(&mut self, refused: Refusal, from: &str, to: &str) {
        self.signed(format!("{from} becomes {to}"), refused, |draft| draft.head(from, to));
    }

    /// A member more in the header.
    fn member(&mut self, member: &str) {
        self.signed(format!("with {member}"), Malformed, |draft| add(draft, member));
    }
}

/// Adds a member to the header.
fn add(draft: &mut Draft, member: &str) {
    draft.head("{\"alg\"", &format!("{{{member},\"alg\""));
}

fn ps256_name() -> String {
    crate::tokens::PS256.public().id().to_string()
}

/// The three parts of a good token.
fn parts(token: &str) -> [&str; 3] {
    let mut parts = token.split('.');
    [(); 3].map(|()| parts.next().unwrap())
}
