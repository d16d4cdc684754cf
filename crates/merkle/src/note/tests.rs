use super::*;

/// The example text of Go's `sumdb/note`.
const TEXT: &str =
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";

fn signer(name: &str, seed: u8) -> NoteSigner {
    NoteSigner::from_seed(name, &[seed; 32]).unwrap()
}

fn signed() -> (NoteSigner, String) {
    let signer = signer("log.test", 1);
    let note = SignedNote::sign(TEXT.to_owned(), &[&signer]).encode();
    (signer, note)
}

#[test]
fn the_checkpoint_of_a_real_log_verifies() {
    let note = SignedNote::parse(include_bytes!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../fixtures/keyless/tiles-rekor/checkpoint"
    )))
    .unwrap();
    let spki = STANDARD
        .decode("MCowBQYDK2VwAyEAnRy48MekxTcLuwVSjTv6S17u9Lwg4n7hc+dSQTFAl94=")
        .unwrap();
    let key = NoteKey::from_spki_der("rekor.alpha.test", &spki).unwrap();
    assert_eq!(note.verify(&key), Ok(()));
    assert_eq!(
        STANDARD.encode(key.log_id()),
        "pg/r3HwtTs6I6t6n23grqWB2JlOlfEMx3vxsmnyLGgY="
    );
    let renamed = NoteKey::from_spki_der("rekor.beta.test", &spki).unwrap();
    assert!(matches!(note.verify(&renamed), Err(NoteError::NotSignedBy { .. })));
}

#[test]
fn key_ids_are_those_of_the_specification() {
    // sumdb/note: PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW
    let raw = STANDARD.decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW").unwrap();
    let key = NoteKey::ed25519("PeterNeumann", raw[1..].try_into().unwrap()).unwrap();
    assert_eq!(key.key_id(), [0xc7, 0x4f, 0x20, 0xa3]);
    let note = format!(
        "{TEXT}\n{SIGNATURE_PREFIX}PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
    );
    assert_eq!(SignedNote::parse(note.as_bytes()).unwrap().verify(&key), Ok(()));
}

#[test]
fn a_note_reads_back_and_alterations_are_named() {
    let (signer, note) = signed();
    let verify = |text: &str| SignedNote::parse(text.as_bytes()).unwrap().verify(signer.key());
    assert_eq!(verify(&note), Ok(()));
    assert!(matches!(
        verify(&note.replace("answer", "Answer")),
        Err(NoteError::BadSignature { .. })
    ));
    let other = NoteSigner::from_seed("log.test", &[2; 32]).unwrap();
    let parsed = SignedNote::parse(note.as_bytes()).unwrap();
    assert!(matches!(parsed.verify(other.key()), Err(NoteError::NotSignedBy { .. })));
    // A line that claims the key and does not verify is not outvoted by one that does.
    let forged = NoteSignature {
        signature: vec![0; 64],
        ..parsed.signatures()[0].clone()
    };
    assert!(matches!(
        verify(&format!("{note}{}", forged.line())),
        Err(NoteError::BadSignature { .. })
    ));
}

#[test]
fn unknown_signers_and_empty_lines_in_the_text_are_no_obstacle() {
    let (own, witness) = (signer("log.test", 1), signer("witness.test/w1", 9));
    let text = "origin\n\nmore\n".to_owned();
    let note = SignedNote::sign(text.clone(), &[&witness, &own]).encode();
    let parsed = SignedNote::parse(note.as_bytes()).unwrap();
    assert_eq!(parsed.text(), text);
    assert_eq!(parsed.signatures().len(), 2);
    assert_eq!(parsed.verify(own.key()), Ok(()));
    assert_eq!(parsed.verify(witness.key()), Ok(()));
}

#[test]
fn malformed_notes_have_their_reason() {
    let (_, note) = signed();
    let reason = |text: &str| SignedNote::parse(text.as_bytes()).unwrap_err();
    assert_eq!(reason(TEXT), NoteError::Unsigned);
    assert_eq!(reason(&format!("{TEXT}\n")), NoteError::Unsigned);
    assert_eq!(reason(note.trim_end()), NoteError::Unsigned);
    assert_eq!(reason(&note.replace('\n', "\r\n")), NoteError::Text);
    assert_eq!(SignedNote::parse(b"a\n\n\xff\n").unwrap_err(), NoteError::Text);
    for bad in [
        "- log.test AAAAAAA=",
        "\u{2014} log.test",
        "\u{2014} log.test AAAA*AA=",
        "\u{2014} a+b AAAAAAA=",
        "\u{2014}  AAAAAAA=",
        "\u{2014} log.test AAAAAA==",
        "\u{2014} log.test AAAAAAA= x",
    ] {
        assert_eq!(
            reason(&format!("{note}{bad}\n")),
            NoteError::SignatureLine { line: 2 },
            "{bad}"
        );
    }
    let line = note.lines().last().unwrap();
    let many = format!("{note}{}", format!("{line}\n").repeat(MAX_NOTE_SIGNATURES));
    assert_eq!(reason(&many), NoteError::TooManySignatures);
    assert!(matches!(
        reason(&"x".repeat(MAX_NOTE_BYTES + 1)),
        NoteError::TooLong { .. }
    ));
}

#[test]
fn ecdsa_and_rsa_keys_verify_as_rekor_signs() {
    use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
    };
    let random = SystemRandom::new();
    let check = |spki: &[u8], signature: Vec<u8>, id: Option<&[u8]>| {
        let key = NoteKey::from_spki_der("log.test", spki).unwrap();
        assert!(id.is_none_or(|id| id == key.key_id()));
        let line = NoteSignature {
            name: "log.test".to_owned(),
            key_id: key.key_id(),
            signature,
        };
        let note = SignedNote {
            text: TEXT.to_owned(),
            signatures: vec![line],
        };
        assert_eq!(
            SignedNote::parse(note.encode().as_bytes()).unwrap().verify(&key),
            Ok(())
        );
        let altered = SignedNote {
            text: TEXT.to_uppercase(),
            ..note
        };
        assert!(matches!(altered.verify(&key), Err(NoteError::BadSignature { .. })));
    };
    for algorithm in [&ECDSA_P256_SHA256_ASN1_SIGNING, &ECDSA_P384_SHA384_ASN1_SIGNING] {
        let pair = EcdsaKeyPair::generate(algorithm).unwrap();
        let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let signature = pair.sign(&random, TEXT.as_bytes()).unwrap().as_ref().to_vec();
        let id = sha256(&[spki.as_ref()]);
        check(spki.as_ref(), signature, Some(&id.as_bytes()[..4]));
    }
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &random, TEXT.as_bytes(), &mut signature)
        .unwrap();
    check(spki.as_ref(), signature, None);
}

#[test]
fn keys_of_other_kinds_and_names_are_refused() {
    assert_eq!(NoteKey::from_spki_der("x", &[]), Err(NoteKeyError::Algorithm));
    let x25519 = [
        &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x6e, 0x03, 0x21, 0x00][..],
        &[0; 32],
    ]
    .concat();
    assert_eq!(NoteKey::from_spki_der("x", &x25519), Err(NoteKeyError::Algorithm));
    for name in ["", "a b", "a+b", "a\u{a0}b", "a\nb"] {
        assert!(matches!(
            NoteKey::ed25519(name, &[0; 32]),
            Err(NoteKeyError::Name { .. })
        ));
    }
}
