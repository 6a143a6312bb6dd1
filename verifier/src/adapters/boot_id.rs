//! Which start of the machine this is, as the kernel names it. Judges no lease.

use std::{fs, io};

use common::revocation::lease::BootId;

/// Reads it.
///
/// # Errors
/// The kernel does not tell, or not in the form of a UUID.
pub fn read() -> io::Result<BootId> {
    parse(fs::read_to_string(PATH)?.trim_end())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not a UUID"))
}

fn parse(text: &str) -> Option<BootId> {
    let digits: Vec<u32> =
        text.chars().filter(|c| *c != '-').map(|c| c.to_digit(16)).collect::<Option<_>>()?;
    let mut id = [0; 16];
    if digits.len() != 2 * id.len() {
        return None;
    }
    for (byte, digit) in id.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = digit else { return None };
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    Some(BootId(id))
}

/// See random(4).
const PATH: &str = "/proc/sys/kernel/random/boot_id";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_same_whenever_it_is_read() {
        assert_eq!(read().unwrap(), read().unwrap());
    }

    #[test]
    fn sixteen_bytes_and_nothing_else_are_one() {
        let id = parse("00112233-4455-6677-8899-aabbccddeeff").unwrap();
        assert_eq!(id.0[..4], [0, 0x11, 0x22, 0x33]);
        assert_eq!(id.0[15], 0xff);
        for bad in ["", "0", "00112233-4455-6677-8899-aabbccddee", "g0112233-4455-6677-8899-aabbccddeeff"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
