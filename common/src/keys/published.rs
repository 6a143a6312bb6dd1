//! Private keys that anybody can read: those of our own tests, and those of published test vectors. Knows nothing but names.

use super::PublicKey;

impl PublicKey {
    /// Where the private half of this key is published, if we know of it: nothing that it signed proves anything.
    ///
    /// Knows the keys of `tests/vectors` and of the vectors in `tests/conformance`, as far as they are within our bounds.
    pub fn published_in(&self) -> Option<&'static str> {
        let id = self.id().to_string();
        PUBLISHED.iter().find(|(_, ids)| ids.contains(&id.as_str())).map(|(name, _)| *name)
    }
}

/// Thumbprints (RFC 7638).
const PUBLISHED: [(&str, &[&str]); 4] = [
    (
        "tests/vectors of this project",
        &[
            "RKNPy07KWN8i_47smXSDjH0no3rNKbM0LNVH3xM6J74",
            "fN1bOMWCVVbYabhacr_qWYJUMv5rb2kR_yMZB3q_0dI",
            "f-_T3H_fDwoeiUj6PLeZil6aSqLuqMMoTKsr48boTL8",
        ],
    ),
    ("RFC 7515", &["IsUn6_e04MaShXFIISMp4kG62LWzMIPy_MvSA5pJgX8"]),
    (
        "the JOSE cookbook (RFC 7520)",
        &[
            "8izOqBCj1XBwWw0-iTcMv27pUKWwFvNmw-kutyfzf-g",
            "9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI",
            "Rt-IyDEhXohvTl_ozKQ9YGflXGuDb3uu3QmqN2LoMwM",
            "h_jutvC-jg3Nwueq8LmdSybXykVsBwk4_5u5Y9JiS7E",
        ],
    ),
    (
        "Wycheproof",
        &[
            "-6bRB2CJ8-K61do6GseoWxTOBs6gguzGMkuMBS3Cmv4",
            "13v2ikB5HGEC_Qu5-OmkBZeFWDQVvsU6SGg7BuazA5I",
            "9hBfRPqFszUrWsTBR6wkkDLaZaeE0cHyBfSwFHNUtP0",
            "CphfCy1h3gmqATljJlv_K6xYe5TW2kw6OmKyy_cKj50",
            "FoglCzuDHdYJpnS-LrlI6UYrvuwYV2ZJkdCXpXl-Q9o",
            "KkwMJCP36-uWe-nvCNjgqDa4dLmgJ_52_3X9_GLq24c",
            "RgVR5H6vvCLajavO3NKXafnQJXfbDa0gFBXhfKcyeMQ",
            "ZiLSoDuPfDc8rxPl05LxD9nV_EzK3XJ8t6qpTXJCtvw",
            "bZuIUh3BSRBjld6C0digNytZPjmTgtUem7zdN0THLzs",
            "eLx7cyKbcDMHSL_1LbVriUzfZG-p_W2rjxLJrg9teck",
            "gjxOJEj_YPJC2pi77Z0REbr4XsppK6Vr47Y1NYyRbbo",
            "hKoe1YKmJxChuUJIUBuWgD3Kc_DtVa-vpjuCNmmDQh8",
        ],
    ),
];
