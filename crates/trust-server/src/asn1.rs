//! Writing DER: the few constructions that certificates, SCTs and timestamps need, byte for byte under our control.
//!
//! Reading is left to `x509-cert` and `x509-tsp`; an encoder of our own is smaller than bending theirs to signing a
//! to-be-signed part once with an SCT in it, and to DER-sorted sets (sigstore-python refuses others).

use proofmark_types::UnixTime;
use time::OffsetDateTime;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;

/// One element: tag, length, content.
pub(crate) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = content.len();
    if let Ok(short @ 0..=0x7f) = u8::try_from(length) {
        out.push(short);
    } else {
        let bytes = length.to_be_bytes();
        let significant: Vec<u8> = bytes.into_iter().skip_while(|b| *b == 0).collect();
        // At most eight length bytes, so that this cannot saturate.
        out.push(0x80 | u8::try_from(significant.len()).unwrap_or(0x08));
        out.extend_from_slice(&significant);
    }
    out.extend_from_slice(content);
    out
}

/// SEQUENCE of these elements, in this order.
pub(crate) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    element(SEQUENCE, &parts.concat())
}

/// SET OF these elements, sorted as DER wants (X.690 section 11.6).
pub(crate) fn set_of(mut parts: Vec<Vec<u8>>) -> Vec<u8> {
    parts.sort();
    element(SET, &parts.concat())
}

/// `[number]` around complete elements.
pub(crate) fn explicit(number: u8, content: &[u8]) -> Vec<u8> {
    element(0xa0 | number, content)
}

/// `[number]` in place of the tag of a primitive element.
pub(crate) fn implicit(number: u8, content: &[u8]) -> Vec<u8> {
    element(0x80 | number, content)
}

/// INTEGER of an unsigned big-endian number.
pub(crate) fn unsigned(bytes: &[u8]) -> Vec<u8> {
    let mut content: Vec<u8> = bytes.iter().copied().skip_while(|b| *b == 0).collect();
    if content.first().is_none_or(|b| b & 0x80 != 0) {
        content.insert(0, 0);
    }
    element(0x02, &content)
}

/// BOOLEAN TRUE.
pub(crate) fn truth() -> Vec<u8> {
    vec![0x01, 0x01, 0xff]
}

/// NULL.
pub(crate) fn null() -> Vec<u8> {
    vec![0x05, 0x00]
}

/// OCTET STRING.
pub(crate) fn octets(bytes: &[u8]) -> Vec<u8> {
    element(0x04, bytes)
}

/// BIT STRING of whole bytes.
pub(crate) fn bits(bytes: &[u8]) -> Vec<u8> {
    element(0x03, &[&[0], bytes].concat())
}

/// UTF8String.
pub(crate) fn utf8(text: &str) -> Vec<u8> {
    element(0x0c, text.as_bytes())
}

/// OBJECT IDENTIFIER from its arcs.
pub(crate) fn oid(arcs: &[u64]) -> Vec<u8> {
    let mut content = Vec::new();
    let (first, rest) = arcs.split_at(arcs.len().min(2));
    let head = first.first().copied().unwrap_or(0) * 40 + first.get(1).copied().unwrap_or(0);
    for arc in std::iter::once(&head).chain(rest) {
        let groups = (u64::BITS - arc.leading_zeros()).div_ceil(7).max(1);
        for group in (0..groups).rev() {
            let low = u8::try_from((arc >> (group * 7)) & 0x7f).unwrap_or(0);
            content.push(if group > 0 { low | 0x80 } else { low });
        }
    }
    element(0x06, &content)
}

/// The Time of a certificate: UTCTime to 2049, GeneralizedTime after (RFC 5280 section 4.1.2.5).
pub(crate) fn time(at: UnixTime) -> Vec<u8> {
    let text = generalized_text(at);
    match text.strip_prefix("20") {
        Some(short) if short < "50" => element(0x17, short.as_bytes()),
        _ => element(0x18, text.as_bytes()),
    }
}

/// GeneralizedTime in UTC without fractions (RFC 3161 section 2.4.2 asks for this form).
pub(crate) fn generalized_time(at: UnixTime) -> Vec<u8> {
    element(0x18, generalized_text(at).as_bytes())
}

fn generalized_text(at: UnixTime) -> String {
    let t = OffsetDateTime::from_unix_timestamp(at.seconds()).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    format!(
        "{:04}{:02}{:02}{:02}{:02}{:02}Z",
        t.year(),
        u8::from(t.month()),
        t.day(),
        t.hour(),
        t.minute(),
        t.second()
    )
}

/// BOOLEAN, for requests that tests make.
#[cfg(test)]
pub(crate) fn boolean_for_test(value: bool) -> Vec<u8> {
    vec![0x01, 0x01, if value { 0xff } else { 0 }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_take_the_shortest_form() {
        assert_eq!(element(4, &[0; 127])[..2], [4, 0x7f]);
        assert_eq!(element(4, &[0; 128])[..3], [4, 0x81, 0x80]);
        assert_eq!(element(4, &[0; 256])[..4], [4, 0x82, 1, 0]);
    }

    #[test]
    fn identifiers_and_integers_are_those_of_the_standard() {
        assert_eq!(
            oid(&[1, 2, 840, 113_549]),
            [0x06, 0x06, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d]
        );
        assert_eq!(oid(&[2, 5, 29, 15]), [0x06, 0x03, 0x55, 0x1d, 0x0f]);
        assert_eq!(unsigned(&[0, 0]), [2, 1, 0]);
        assert_eq!(unsigned(&[0x80]), [2, 2, 0, 0x80]);
        assert_eq!(unsigned(&[0, 0x7f]), [2, 1, 0x7f]);
    }

    #[test]
    fn sets_are_sorted_and_times_have_the_form_of_their_year() {
        assert_eq!(set_of(vec![vec![2, 1, 9], vec![2, 1, 3]]), [0x31, 6, 2, 1, 3, 2, 1, 9]);
        let of = |text: &str| time(UnixTime::parse(text).unwrap());
        assert_eq!(of("2049-12-31T23:59:59Z"), element(0x17, b"491231235959Z"));
        assert_eq!(of("2050-01-01T00:00:00Z"), element(0x18, b"20500101000000Z"));
    }
}
