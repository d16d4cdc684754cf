//! Base64 and PEM as the peers of these formats read them.

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD as WRITER};

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const READ_STANDARD: GeneralPurpose = GeneralPurpose::new(&STANDARD, LENIENT);
const READ_URL_SAFE: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LENIENT);

/// Reads base64 as protojson does: standard or URL-safe alphabet, padded or not (protobuf JSON mapping, `bytes`; DSSE
/// 1.0 asks the same). Mixed alphabets, whitespace and stray bits at the end are refused: no writer makes them.
#[must_use]
pub fn base64_decode(text: &str) -> Option<Vec<u8>> {
    let engine = if text.contains(['-', '_']) {
        &READ_URL_SAFE
    } else {
        &READ_STANDARD
    };
    engine.decode(text).ok()
}

/// Writes standard base64 with padding, which every reader takes.
#[must_use]
pub fn base64_encode(bytes: &[u8]) -> String {
    WRITER.encode(bytes)
}

/// The most PEM blocks read from one text: a certificate chain is at most ten long (webpki's budget is six
/// intermediates), and an annotation with more is an attack on memory.
pub const MAX_PEM_BLOCKS: usize = 16;

/// The contents of all PEM blocks of type `label`, in order. `None` if a block is malformed, of another type, or there
/// are more than [`MAX_PEM_BLOCKS`]. Text between blocks is ignored (RFC 7468 §2); blank text has no blocks.
#[must_use]
pub fn pem_decode_all(label: &str, text: &str) -> Option<Vec<Vec<u8>>> {
    pem_decode_up_to(label, text, MAX_PEM_BLOCKS)
}

/// [`pem_decode_all`] with a bound of one's own, for files that the user gave (the roots of a whole company).
#[must_use]
pub fn pem_decode_up_to(label: &str, text: &str, limit: usize) -> Option<Vec<Vec<u8>>> {
    let begin = format!("-----BEGIN {label}-----");
    let end = format!("-----END {label}-----");
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("-----BEGIN ") {
        let start = rest.len() - after.len() - "-----BEGIN ".len();
        let body = rest.get(start..)?.strip_prefix(begin.as_str())?;
        let (inner, tail) = body.split_once(end.as_str())?;
        let compact: String = inner.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        if compact.is_empty() || blocks.len() == limit {
            return None;
        }
        blocks.push(READ_STANDARD.decode(compact).ok()?);
        rest = tail;
    }
    Some(blocks)
}

/// Writes one PEM block, lines of 64 characters (RFC 7468 §2), ending with a newline.
#[must_use]
pub fn pem_encode(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    let encoded = base64_encode(der);
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at_checked(64).unwrap_or((rest, ""));
        text.push_str(line);
        text.push('\n');
        rest = tail;
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_alphabets_with_and_without_padding() {
        for text in ["+/+/", "-_-_"] {
            assert_eq!(base64_decode(text).unwrap(), [0xfb, 0xff, 0xbf]);
        }
        assert_eq!(base64_decode("YQ==").unwrap(), b"a");
        assert_eq!(base64_decode("YQ").unwrap(), b"a");
        for bad in ["+_", "Y", "YR==", "YQ =", "YQ\n"] {
            assert!(base64_decode(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn pem_round_trips_and_refuses_foreign_blocks() {
        let der = [7_u8; 100];
        let text = pem_encode("CERTIFICATE", &der);
        assert_eq!(pem_decode_all("CERTIFICATE", &text).unwrap(), [der.to_vec()]);
        let two = format!("# a comment\n{text}\n{text}");
        assert_eq!(pem_decode_all("CERTIFICATE", &two).unwrap().len(), 2);
        assert_eq!(pem_decode_all("CERTIFICATE", " \n").unwrap().len(), 0);
        assert!(pem_decode_all("PUBLIC KEY", &text).is_none());
        assert!(pem_decode_all("CERTIFICATE", text.trim_end_matches("-----\n")).is_none());
        assert!(pem_decode_all("CERTIFICATE", &text.repeat(17)).is_none());
        assert!(pem_decode_all("CERTIFICATE", "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----").is_none());
    }
}
