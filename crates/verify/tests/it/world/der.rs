//! DER and TLS encoding by hand, so that a test can write what no library would.

use proofmark_types::Digest;
use rcgen::{KeyPair, PublicKeyData, SigningKey};

pub(crate) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    match content.len() {
        short @ 0..=0x7f => bytes.push(u8::try_from(short).unwrap()),
        medium @ 0x80..=0xff => bytes.extend([0x81, u8::try_from(medium).unwrap()]),
        long => {
            bytes.push(0x82);
            bytes.extend(u16::try_from(long).unwrap().to_be_bytes());
        }
    }
    bytes.extend_from_slice(content);
    bytes
}

pub(crate) fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

pub(crate) fn set(parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x31, &parts.concat())
}

pub(crate) fn integer(value: u8) -> Vec<u8> {
    tlv(0x02, &[value])
}

pub(crate) fn octets(bytes: &[u8]) -> Vec<u8> {
    tlv(0x04, bytes)
}

pub(crate) fn utf8(text: &str) -> Vec<u8> {
    tlv(0x0c, text.as_bytes())
}

pub(crate) fn oid(text: &str) -> Vec<u8> {
    tlv(0x06, der::asn1::ObjectIdentifier::new(text).unwrap().as_bytes())
}

pub(crate) fn algorithm(text: &str) -> Vec<u8> {
    sequence(&[oid(text)])
}

/// The content of an element.
pub(crate) fn content(element: &[u8]) -> &[u8] {
    let header = match element[1] {
        0x82 => 4,
        0x81 => 3,
        _ => 2,
    };
    &element[header..]
}

/// The first element of some bytes.
pub(crate) fn first(bytes: &[u8]) -> &[u8] {
    let length = match bytes[1] {
        0x82 => 4 + usize::from(u16::from_be_bytes([bytes[2], bytes[3]])),
        0x81 => 3 + usize::from(bytes[2]),
        short => 2 + usize::from(short),
    };
    &bytes[..length]
}

/// Elements one after another.
pub(crate) fn elements(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let element = first(bytes);
        all.push(element);
        bytes = &bytes[element.len()..];
    }
    all
}

fn vector(bytes: &[u8]) -> Vec<u8> {
    let mut all = u16::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
    all.extend_from_slice(bytes);
    all
}

/// RFC 6962 section 3.2, over a certificate without SCT, with an extension as static CT logs write it.
pub(crate) fn sct(bare: &[u8], issuer_spki: &[u8], seconds: i64, log: &KeyPair) -> Vec<u8> {
    let tbs = first(content(bare));
    let extensions = [0, 0, 5, 0, 0, 0, 0, 7];
    let milliseconds = (u64::try_from(seconds).unwrap() * 1000).to_be_bytes();
    let mut signed = vec![0, 0];
    signed.extend(milliseconds);
    signed.extend([0, 1]);
    signed.extend_from_slice(Digest::sha256_of(issuer_spki).as_bytes());
    signed.extend_from_slice(&u32::try_from(tbs.len()).unwrap().to_be_bytes()[1..]);
    signed.extend_from_slice(tbs);
    signed.extend(vector(&extensions));
    let mut sct = vec![0];
    sct.extend_from_slice(Digest::sha256_of(&log.subject_public_key_info()).as_bytes());
    sct.extend(milliseconds);
    sct.extend(vector(&extensions));
    sct.extend([4, 3]);
    sct.extend(vector(&log.sign(&signed).unwrap()));
    sct
}

pub(crate) fn sct_list(scts: &[Vec<u8>]) -> Vec<u8> {
    vector(&scts.iter().flat_map(|sct| vector(sct)).collect::<Vec<u8>>())
}
