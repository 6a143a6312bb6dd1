//! Numbers at and over the edge of what number types hold.

use common::verification::Refusal::{
    self, Contradictory, Expired, LifetimeTooLong, Malformed, NotYetValid, UnsupportedSchema,
};

use super::Family;

/// Each numeric claim with what other languages round, wrap or read in another base.
pub(super) fn extremes() -> Family {
    let mut family = Family::new("numbers", "numbers that are rounded, wrapped, or spelled in another way");
    for (claim, number) in [
        ("iat", "1800000000"),
        ("nbf", "1800000000"),
        ("exp", "1800003600"),
        ("retention_end", "1800090000"),
        ("length", "32"),
        ("epoch", "1"),
        ("sequence", "42"),
        ("schema", "1"),
    ] {
        let from = format!("\"{claim}\":{number}");
        for spelled in [
            "-0",
            "-1",
            "+1",
            "01",
            "00",
            "0x20",
            "0b1",
            "0o7",
            "1_000",
            ".5",
            "5.",
            "1e",
            "1E400",
            "-1e400",
            "1e-400",
            "0.1",
            "Infinity",
            "-Infinity",
            "NaN",
            "1,0",
            "1 0",
            "",
            "18446744073709551616",
            "-9223372036854775808",
            "99999999999999999999999999999999999999999999",
            "1\u{0660}",
            "\u{ff11}",
        ] {
            family.claim(Malformed, &from, &format!("\"{claim}\":{spelled}"));
        }
    }
    let of_claim: [(Refusal, &str, &str, &[&str]); 9] = [
        // Past the year 9999 no instant is read, whatever the claim.
        (Malformed, "iat", "1800000000", PAST_9999),
        (Malformed, "nbf", "1800000000", PAST_9999),
        (Malformed, "exp", "1800003600", PAST_9999),
        (Malformed, "retention_end", "1800090000", PAST_9999),
        // Milliseconds; the last instant that there is; what a 32-bit number wraps to.
        (Contradictory, "exp", "1800003600", &["1800003600000", "253402300799", "6094970896", "0", "-0.0e0"]),
        (Contradictory, "nbf", "1800000000", &["1800003600", "253402300799"]),
        (Contradictory, "iat", "1800000000", &["1800003600", "253402300799"]),
        (LifetimeTooLong, "iat", "1800000000", &["0", "1"]),
        (Contradictory, "retention_end", "1800090000", &["0", "1", "1800003599"]),
    ];
    for (refused, claim, number, others) in of_claim {
        for other in others {
            let refused = if PAST_9999.contains(other) || other.contains('.') || other.len() > 12 {
                Malformed
            } else {
                refused
            };
            family.claim(refused, &format!("\"{claim}\":{number}"), &format!("\"{claim}\": {other}"));
        }
    }
    for (refused, claim, number, other) in [
        (Malformed, "length", "32", "0"),
        (Malformed, "length", "32", "21"),
        (Malformed, "length", "32", "65"),
        (Malformed, "length", "32", "4294967295"),
        (Malformed, "length", "32", "4294967328"),
        (UnsupportedSchema(257), "schema", "1", "257"),
        (UnsupportedSchema(4_294_967_297), "schema", "1", "4294967297"),
        (UnsupportedSchema(u64::MAX), "schema", "1", "18446744073709551615"),
        (NotYetValid, "nbf", "1800000000", "1800003599"),
        (NotYetValid, "iat", "1800000000", "1800003599"),
        (Expired, "exp", "1800003600", "1800000060"),
    ] {
        family.claim(refused, &format!("\"{claim}\":{number}"), &format!("\"{claim}\":  {other}"));
    }
    family
}

const PAST_9999: &[&str] = &["253402300800", "9223372036854775807", "18446744073709551615"];
