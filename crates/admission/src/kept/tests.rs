use std::time::Duration;

use bytes::Bytes;
use proofmark_evidence::Origin;
use proofmark_oci::Descriptor;
use proofmark_registry::{Piece, PieceContent};
use proofmark_types::MediaType;

use super::*;

fn place(number: usize) -> Place {
    let repository = Repository::parse("registry.example.com/team/app").unwrap();
    Place {
        home: repository.clone(),
        repository,
        digest: Digest::sha256_of(number.to_string().as_bytes()),
    }
}

fn pieces(place: &Place, content: &str) -> Pieces {
    let blob = Bytes::from(content.to_owned());
    let mut layer = Descriptor::of(
        MediaType::parse("application/vnd.dsse.envelope.v1+json").unwrap(),
        &blob,
    );
    layer
        .annotations
        .insert("dev.cosignproject.cosign/signature".into(), "c2ln".into());
    let mut pieces = Pieces::new(place.digest.clone());
    pieces.pieces.push(Piece {
        origin: Origin::AttestationTag {
            tag: proofmark_types::Tag::parse("sha256-0.att").unwrap(),
            layer: layer.digest.clone(),
        },
        content: PieceContent::Layer { layer, blob },
    });
    pieces.pieces.push(Piece {
        origin: Origin::Referrer {
            manifest: place.digest.clone(),
        },
        content: PieceContent::Unreadable {
            code: "malformed",
            reason: "no JSON".to_owned(),
        },
    });
    pieces
}

fn at(seconds: i64) -> UnixTime {
    UnixTime::from_seconds(seconds).unwrap()
}

#[test]
fn what_is_sealed_is_read_back_and_nothing_else_is() {
    let (secret, place) = (Secret::of(&[7; 32]), place(1));
    let sealed = Record::seal(&place, &pieces(&place, "{}"), at(1000), &secret).unwrap();
    let read = Record::open(&sealed, &secret, &place).unwrap();
    assert_eq!(read.pieces, pieces(&place, "{}"));
    assert_eq!(read.fetched, at(1000));
    // Every byte matters, and so does their number.
    for position in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[position] ^= 1;
        assert!(Record::open(&changed, &secret, &place).is_err(), "byte {position}");
    }
    for length in 0..sealed.len() {
        assert!(
            Record::open(&sealed[..length], &secret, &place).is_err(),
            "cut at {length}"
        );
    }
    let longer = [sealed.as_slice(), b"x"].concat();
    assert_eq!(
        Record::open(&longer, &secret, &place).err(),
        Some("the seal is not right")
    );
    // Another secret, another image, another repository, another home.
    assert_eq!(
        Record::open(&sealed, &Secret::of(&[8; 32]), &place).err(),
        Some("the seal is not right")
    );
    let other = Repository::parse("registry.example.com/team/other").unwrap();
    let elsewhere = [
        self::place(2),
        Place {
            repository: other.clone(),
            ..place.clone()
        },
        Place { home: other, ..place },
    ];
    for place in elsewhere {
        assert_eq!(
            Record::open(&sealed, &secret, &place).err(),
            Some("it is about another image")
        );
    }
}

/// With the right secret the content is looked at all the same: a blob is what its descriptor says.
#[test]
fn a_blob_that_is_another_is_not_read() {
    let (secret, place) = (Secret::of(&[7; 32]), place(1));
    let mut wrong = pieces(&place, "{}");
    let PieceContent::Layer { blob, .. } = &mut wrong.pieces[0].content else {
        unreachable!("it is a layer");
    };
    *blob = Bytes::from_static(b"[]");
    let sealed = Record::seal(&place, &wrong, at(0), &secret).unwrap();
    assert_eq!(Record::open(&sealed, &secret, &place).err(), Some("a blob is another"));
    // Evidence that is not whole is not kept, nor what is about another digest, nor what is too large.
    let mut gap = pieces(&place, "{}");
    gap.incomplete.push(proofmark_evidence::Incomplete {
        place: "a tag".to_owned(),
        code: "timeout",
        reason: String::new(),
    });
    assert!(Record::seal(&place, &gap, at(0), &secret).is_none());
    assert!(Record::seal(&self::place(2), &pieces(&place, "{}"), at(0), &secret).is_none());
    let large = "x".repeat(MAX_RECORD_BYTES);
    assert!(Record::seal(&place, &pieces(&place, &large), at(0), &secret).is_none());
}

#[test]
fn the_folder_is_bounded_and_forgets_the_oldest() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("kept");
    let bounds = Bounds { entries: 3, bytes: 100 };
    let folder = Folder::open(&path, bounds).unwrap();
    for name in ["a", "b", "c", "a", "d"] {
        folder.write(name, &[b'x'; 10]).unwrap();
    }
    assert_eq!(folder.read("b").unwrap(), None);
    assert!(folder.read("a").unwrap().is_some());
    folder.write("e", &[b'x'; 85]).unwrap();
    assert_eq!(folder.read("c").unwrap(), None);
    assert_eq!(folder.read("e").unwrap().unwrap().len(), 85);
    // What another start finds is counted, and what a crash left is not.
    std::fs::write(path.join("f-1-1.part"), "half").unwrap();
    std::fs::write(path.join("unrelated.txt"), "x").unwrap();
    let folder = Folder::open(&path, bounds).unwrap();
    assert!(folder.read("e").unwrap().is_some());
    folder.write("g", &[b'x'; 20]).unwrap();
    assert_eq!(folder.read("e").unwrap(), None, "105 bytes are too many");
    assert!(folder.read("g").unwrap().is_some());
}

#[cfg(unix)]
#[test]
fn the_secret_is_for_its_owner_and_lies_elsewhere() {
    use std::os::unix::fs::PermissionsExt;
    let root = tempfile::tempdir().unwrap();
    let records = root.path().join("records");
    std::fs::create_dir(&records).unwrap();
    let code = |path: &std::path::Path| Secret::open(path, Some(&records)).err().map(|error| error.to_string());
    let path = root.path().join("secret");
    assert_eq!(code(&path), None);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    // The same again, not a new one.
    let (one, two) = (
        Secret::open(&path, Some(&records)).unwrap(),
        Secret::open(&path, None).unwrap(),
    );
    assert_eq!(one.sign(b"x"), two.sign(b"x"));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(code(&path).unwrap().contains("expected mode 0600"));
    let short = root.path().join("short");
    std::fs::write(&short, "too short").unwrap();
    assert!(code(&short).unwrap().contains("it has 9"));
    assert!(
        code(&records.join("secret"))
            .unwrap()
            .contains("in the folder of the evidence")
    );
}

#[tokio::test]
async fn what_is_kept_is_given_back_for_as_long_as_it_is_of_use() {
    let root = tempfile::tempdir().unwrap();
    let keeping = Keeping {
        folder: Some(root.path().join("kept")),
        database: None,
        secret: root.path().join("secret"),
        bounds: Keeping::BOUNDS,
    };
    let hour = Duration::from_secs(3600);
    let metrics = Arc::new(Metrics::new(crate::metrics::PeerNames::default()));
    let store = Store::open(&keeping, hour, metrics.clone()).unwrap();
    assert!(store.get(&place(1), at(0)).await.is_none());
    store.put(place(1), &pieces(&place(1), "{}"), at(1000));
    while !metrics.render().contains("result=\"written\"") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let kept = store.get(&place(1), at(1010)).await.unwrap();
    assert_eq!((kept.fetched, kept.pieces), (at(1000), pieces(&place(1), "{}")));
    assert!(store.get(&place(1), at(1000 + 3600)).await.is_none());
    assert!(store.get(&place(1), at(1000 - 61)).await.is_none(), "from the future");
    assert!(store.get(&place(2), at(1010)).await.is_none());
    // A record under the name of another image is not taken for one about it.
    let file = |number| root.path().join(format!("kept/{}.evidence", place(number).name()));
    std::fs::copy(file(1), file(2)).unwrap();
    assert!(store.get(&place(2), at(1010)).await.is_none());
    let said = metrics.render();
    assert!(said.contains("{tier=\"folder\",result=\"not-authentic\"} 1"), "{said}");
    assert!(said.contains("{tier=\"folder\",result=\"expired\"} 2"), "{said}");
}
