//! Each form with its twins that are refused, and by which name.

use super::*;

fn read(text: &str) -> KeyReference {
    KeyReference::parse(text).unwrap()
}

fn refused(text: &str) -> &'static str {
    KeyReference::parse(text).unwrap_err().code()
}

#[test]
fn every_form_reads_and_writes_the_same() {
    for text in [
        "cosign.key",
        "/keys/a b.pub",
        "./x://y",
        "C:\\keys\\cosign.key",
        "https://keys.example/team/cosign.pub",
        "https://127.0.0.1:8443/cosign.pub?v=2",
        "env://COSIGN_PRIVATE_KEY",
        "k8s://kube-system/signing.keys",
        "pkcs11:token=tok;slot-id=7;id=%01%ff;object=my%20key?module-path=/usr/lib/p11.so&pin-source=/run/pin",
        "awskms:///alias/release",
        "awskms:///1234abcd-12ab-34cd-56ef-1234567890ab",
        "awskms:///mrk-1234abcd12ab34cd56ef1234567890ab",
        "awskms://localhost:4566/alias/team/release",
        "awskms:///arn:aws:kms:us-east-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        "awskms:///arn:aws-us-gov:kms:us-gov-west-1:111122223333:alias/release",
        "gcpkms://projects/p-1/locations/europe-west1/keyRings/r/cryptoKeys/k",
        "gcpkms://projects/p-1/locations/global/keyRings/r/cryptoKeys/k/cryptoKeyVersions/3",
        "azurekms://team.vault.azure.net/release",
        "azurekms://team.vault.azure.net/release/0123456789abcdef0123456789abcdef",
        "hashivault://release-key.v1",
    ] {
        let reference = read(text);
        assert_eq!(reference.to_string(), text);
        assert_eq!(read(&reference.to_string()), reference);
    }
}

#[test]
fn spellings_of_the_same_place_are_one_value() {
    assert_eq!(read("openbao://k"), read("hashivault://k"));
    let of = |versions| {
        read(&format!(
            "gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k/{versions}/1"
        ))
    };
    assert_eq!(of("versions"), of("cryptoKeyVersions"));
    assert_eq!(read("file://cosign.key"), read("cosign.key"));
    // Written so that it reads back as a file.
    assert_eq!(KeyReference::File("env://X".to_owned()).to_string(), "file://env://X");
}

#[test]
fn parts_are_told_apart() {
    assert_eq!(
        read("awskms://localhost:4566/alias/a"),
        KeyReference::Aws {
            endpoint: Some("localhost:4566".to_owned()),
            key: "alias/a".to_owned()
        }
    );
    assert_eq!(
        read("k8s://ns/name"),
        KeyReference::Kubernetes {
            namespace: "ns".to_owned(),
            name: "name".to_owned()
        }
    );
    let KeyReference::Pkcs11(uri) =
        read("pkcs11:token=a%3bb;slot-id=12;id=%A1%b2;object=key;type=private?pin-value=12%2634&module-path=/m.so")
    else {
        panic!("another kind")
    };
    assert_eq!(uri.token(), Some("a;b"));
    assert_eq!(uri.slot_id(), Some(12));
    assert_eq!(uri.id(), Some([0xa1, 0xb2].as_slice()));
    assert_eq!(uri.object(), Some("key"));
    assert_eq!(uri.pin_value(), Some("12&34"));
    assert_eq!(uri.module_path(), Some("/m.so"));
    assert_eq!(uri.unsupported().count(), 0);
}

#[test]
fn twins_are_refused_by_name() {
    for (text, code) in [
        ("", "malformed-key-reference"),
        ("a\nb", "malformed-key-reference"),
        ("-----BEGIN PRIVATE KEY-----\nMC4C", "key-in-place-of-reference"),
        ("http://keys.example/cosign.pub", "key-reference-unencrypted"),
        (
            "https://user:password@keys.example/cosign.pub",
            "malformed-key-reference",
        ),
        ("https:///cosign.pub", "malformed-key-reference"),
        ("env://", "malformed-key-reference"),
        ("env://A=B", "malformed-key-reference"),
        ("env://1A", "malformed-key-reference"),
        ("k8s://name", "malformed-key-reference"),
        ("k8s://ns/a/b", "malformed-key-reference"),
        ("k8s://Ns/name", "malformed-key-reference"),
        ("k8s://a.b/name", "malformed-key-reference"),
        ("k8s://ns/..", "malformed-key-reference"),
        ("pkcs11:token", "malformed-key-reference"),
        ("pkcs11:token=a;token=b", "malformed-key-reference"),
        ("pkcs11:token=a;pin-value=1", "malformed-key-reference"),
        ("pkcs11:id=%0", "malformed-key-reference"),
        ("pkcs11:slot-id=x", "malformed-key-reference"),
        ("pkcs11:object=%ff", "malformed-key-reference"),
        ("awskms://alias", "malformed-key-reference"),
        ("awskms:///", "malformed-key-reference"),
        ("awskms:///alias/", "malformed-key-reference"),
        (
            "awskms:///arn:aws:s3:us-east-2:111122223333:key/x",
            "malformed-key-reference",
        ),
        ("awskms:///arn:aws:kms:us-east-2:1:key/x", "malformed-key-reference"),
        ("awskms://a@b/alias/x", "malformed-key-reference"),
        ("gcpkms://projects/p/locations/l/keyRings/r", "malformed-key-reference"),
        (
            "gcpkms://projects/../locations/l/keyRings//cryptoKeys/k",
            "malformed-key-reference",
        ),
        (
            "gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k/versions/",
            "malformed-key-reference",
        ),
        (
            "gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k/versions/latest",
            "malformed-key-reference",
        ),
        ("azurekms://vault", "malformed-key-reference"),
        ("azurekms://vault/key/version/more", "malformed-key-reference"),
        ("hashivault://a/b", "malformed-key-reference"),
        ("hashivault://-a", "malformed-key-reference"),
        ("gitlab://group/project", "key-reference-ci-variables"),
        ("github://owner/repository", "key-reference-ci-variables"),
        ("mykms://key", "key-reference-unknown"),
    ] {
        assert_eq!(refused(text), code, "{text}");
    }
    assert_eq!(refused(&"a".repeat(MAX_LENGTH + 1)), "malformed-key-reference");
}

#[test]
fn no_secret_is_shown() {
    let text = "pkcs11:token=t?pin-value=12345678";
    let reference = read(text);
    for shown in [
        reference.to_string(),
        format!("{reference:?}"),
        serde_json::to_string(&reference).unwrap(),
    ] {
        assert!(!shown.contains("12345678"), "{shown}");
    }
    for text in [
        "-----BEGIN PRIVATE KEY-----SECRET",
        "pkcs11:pin-value=SECRET",
        "https://me:SECRET@host/x",
        "env://SECRET=SECRET",
    ] {
        let error = KeyReference::parse(text).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("SECRET"), "{error:?}");
    }
}
