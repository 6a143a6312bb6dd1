//! `traceparent` of W3C Trace Context, level 1: who began the trace, and whether it is recorded. Pure.

use opentelemetry::{SpanId, TraceId};

/// The caller's place in a trace that is recorded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct TraceParent {
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
}

impl TraceParent {
    /// Reads the header. `None` when it is not one, or when whoever began the trace does not record it: so nothing that is
    /// unreadable costs more than this.
    pub(super) fn sampled(header: &[u8]) -> Option<Self> {
        let text = str::from_utf8(header).ok()?;
        let (version, rest) = text.split_once('-')?;
        let (trace, rest) = rest.split_once('-')?;
        let (span, rest) = rest.split_once('-')?;
        // Later versions may add fields; version 00 has none.
        let flags = if version == "00" { rest } else { rest.split('-').next()? };
        let lengths = (version.len(), trace.len(), span.len(), flags.len()) == (2, 32, 16, 2);
        let lower = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !lengths || version == "ff" || ![version, trace, span, flags].into_iter().all(lower) {
            return None;
        }
        let sampled = u8::from_str_radix(flags, 16).ok()? & 1 == 1;
        let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
        let valid = trace != TraceId::INVALID && span != SpanId::INVALID;
        (sampled && valid).then_some(Self { trace, span })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn the_example_of_the_recommendation_is_read() {
        let read = TraceParent::sampled(GOOD.as_bytes()).unwrap();
        assert_eq!(read.trace.to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(read.span.to_string(), "b7ad6b7169203331");
        let later = format!("01{}-more", &GOOD[2..]);
        assert!(TraceParent::sampled(later.as_bytes()).is_some(), "of a later version its beginning is read");
    }

    #[test]
    fn what_is_not_sampled_or_not_a_traceparent_is_none() {
        for wrong in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-+1",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333\u{e9}-01",
        ] {
            assert_eq!(TraceParent::sampled(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(TraceParent::sampled(b"\xff"), None);
    }
}
