//! The trace that a request belongs to: W3C's header `traceparent`.

use opentelemetry::{SpanId, TraceId};

/// The span that sent a sampled request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Parent {
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
}

impl Parent {
    pub const HEADER: &[u8] = b"traceparent";

    /// Reads the header of a sampled request; `None` if the request is not sampled or the header is
    /// not valid: `<version>-<trace id>-<span id>-<flags>` in lower-case hexadecimal digits.
    pub fn sampled(header: &[u8]) -> Option<Self> {
        // Most headers are of requests that are not sampled: the flags are read first.
        let flags = hex::<2>(header.get(53..55)?)?;
        if flags & 1 == 0 {
            return None;
        }
        let mut parts = header.split(|&byte| byte == b'-');
        let version = hex::<2>(parts.next()?)?;
        let trace = hex::<32>(parts.next()?)?;
        let span = hex::<16>(parts.next()?)?;
        hex::<2>(parts.next()?)?;
        // Later versions may have more parts.
        let is_whole = version != 0 || parts.next().is_none();
        let is_valid = version != 0xff && trace != 0 && span != 0 && is_whole;
        let span = u64::try_from(span).ok()?;
        is_valid.then(|| Self { trace: trace.into(), span: span.into() })
    }
}

/// The number in exactly this many hexadecimal digits.
fn hex<const DIGITS: usize>(text: &[u8]) -> Option<u128> {
    let text: &[u8; DIGITS] = text.try_into().ok()?;
    text.iter().try_fold(0, |number, &byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    #[test]
    fn a_valid_header_with_the_sampled_bit_gives_its_ids() {
        let parent = Parent {
            trace: TraceId::from_hex(TRACE).unwrap(),
            span: SpanId::from_hex(SPAN).unwrap(),
        };
        for header in [
            format!("00-{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}-03"),
            format!("00-{TRACE}-{SPAN}-ff"),
            format!("01-{TRACE}-{SPAN}-01"),
            format!("fe-{TRACE}-{SPAN}-01-what the future brings"),
        ] {
            assert_eq!(Parent::sampled(header.as_bytes()), Some(parent), "{header}");
        }
    }

    #[test]
    fn anything_else_gives_none() {
        let zeros = |count| "0".repeat(count);
        for header in [
            String::new(),
            format!("00-{TRACE}-{SPAN}-00"),
            format!("00-{TRACE}-{SPAN}-02"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("00-{}-{SPAN}-01", zeros(32)),
            format!("00-{TRACE}-{}-01", zeros(16)),
            format!("00-{}-{SPAN}-01", &TRACE[1..]),
            format!("00-{TRACE}-{}-01", &SPAN[1..]),
            format!("00-{TRACE}-{SPAN}0-01"),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("00-{TRACE}-{SPAN}-01-"),
            format!("00-{TRACE}-{SPAN}-01 "),
            format!("0-{TRACE}-{SPAN}-01"),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00 {TRACE} {SPAN} 01"),
        ] {
            assert_eq!(Parent::sampled(header.as_bytes()), None, "{header}");
        }
        assert_eq!(Parent::sampled(&[0xff; 55]), None);
    }
}
