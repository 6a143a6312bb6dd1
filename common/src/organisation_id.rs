//! An organisation's name between Portal and INCERT. Stands for no person.

use std::{fmt, str::FromStr};

/// A UUID (RFC 9562), kept as its 16 bytes; written in the canonical lower-case form and read in no other (rule 14).
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct OrganisationId([u8; 16]);

impl OrganisationId {
    /// Makes an id of the UUID's bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The UUID's bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl FromStr for OrganisationId {
    type Err = InvalidOrganisationId;

    fn from_str(text: &str) -> Result<Self, InvalidOrganisationId> {
        let mut bytes = [0; 16];
        let mut digits = 0;
        for (position, byte) in text.bytes().enumerate() {
            let nibble = match byte {
                b'-' if matches!(position, 8 | 13 | 18 | 23) => continue,
                _ if matches!(position, 8 | 13 | 18 | 23) => return Err(InvalidOrganisationId),
                b'0'..=b'9' => byte - b'0',
                b'a'..=b'f' => byte - b'a' + 10,
                _ => return Err(InvalidOrganisationId),
            };
            let slot = bytes.get_mut(digits / 2).ok_or(InvalidOrganisationId)?;
            *slot = *slot << 4 | nibble;
            digits += 1;
        }
        // The nil UUID stands for nobody, and a missing field must not become somebody.
        if digits == 32 && text.len() == 36 && bytes != [0; 16] {
            Ok(Self(bytes))
        } else {
            Err(InvalidOrganisationId)
        }
    }
}

impl fmt::Display for OrganisationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for OrganisationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Not a UUID in its canonical lower-case form, or the nil UUID.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("must be a UUID in lower case, such as 6f1c2a34-5b6d-4e7f-8a90-b1c2d3e4f506, and not the nil UUID")]
pub struct InvalidOrganisationId;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_form_is_read() {
        let text = "6f1c2a34-5b6d-4e7f-8a90-b1c2d3e4f506";
        assert_eq!(text.parse::<OrganisationId>().map(|id| id.to_string()), Ok(text.to_owned()));
        for other in [
            "",
            "6F1C2A34-5B6D-4E7F-8A90-B1C2D3E4F506",
            "6f1c2a345b6d4e7f8a90b1c2d3e4f506",
            "{6f1c2a34-5b6d-4e7f-8a90-b1c2d3e4f506}",
            "6f1c2a34-5b6d-4e7f-8a90-b1c2d3e4f5060",
            "6f1c2a34-5b6d-4e7f-8a90-b1c2d3e4f50",
            "6f1c2a34-5b6d-4e7f-8a90-b1c2d3e4f50-",
            "00000000-0000-0000-0000-000000000000",
        ] {
            assert_eq!(other.parse::<OrganisationId>(), Err(InvalidOrganisationId), "{other:?}");
        }
    }
}
