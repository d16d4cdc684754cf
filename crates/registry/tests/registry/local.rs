//! Layout folders and `docker save` archives.

use std::fs;
use std::io::Read as _;
use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use proofmark_oci::{Manifest, media_types};
use proofmark_registry::{ImageSource, RegistryError};
use proofmark_types::{Digest, ImageRef};
use tempfile::TempDir;

use crate::world::{OurRegistry, SmallImage, client, code, small_image, tag};

fn write_layout(folder: &Path, images: &[(&SmallImage, &str)]) {
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let mut entries = Vec::new();
    for (image, name) in images {
        for blob in image.blobs.iter().chain([&image.bytes]) {
            fs::write(blobs.join(Digest::sha256_of(blob).hex()), blob).unwrap();
        }
        let mut entry = image.descriptor.clone();
        entry
            .annotations
            .insert("org.opencontainers.image.ref.name".to_owned(), (*name).to_owned());
        entries.push(entry);
    }
    fs::write(folder.join("index.json"), proofmark_oci::Index::of(entries).to_json()).unwrap();
}

async fn read_everything(source: &ImageSource) -> Result<Vec<Vec<u8>>, RegistryError> {
    let Manifest::Image(image) = source.resolve().await?.parse()? else {
        panic!("an image")
    };
    let mut contents = Vec::new();
    for blob in std::iter::once(&image.config).chain(&image.layers) {
        let whole = source.blob(blob, 1_000_000).await?;
        let mut reader = source.open_blob(blob).await?;
        let read = tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).map(|_| bytes)
        });
        assert_eq!(read.await.unwrap().unwrap(), whole);
        contents.push(whole.to_vec());
    }
    Ok(contents)
}

#[tokio::test]
async fn a_layout_is_read_and_copied() {
    let folder = TempDir::new().unwrap();
    let (one, two) = (small_image("one"), small_image("two"));
    write_layout(folder.path(), &[(&one, "1.0"), (&two, "example.com/team/app:2.0")]);
    for (name, image) in [
        ("1.0", &one),
        ("2.0", &two),
        ("example.com/team/app:2.0", &two),
        (one.descriptor.digest.to_string().as_str(), &one),
    ] {
        let source = ImageSource::open(folder.path(), Some(name)).unwrap();
        assert_eq!(source.resolve().await.unwrap().bytes, image.bytes, "{name}");
        let contents = read_everything(&source).await.unwrap();
        assert_eq!(contents, image.blobs, "{name}");
    }
    let registry = OurRegistry::start(true).await;
    let source = ImageSource::open(folder.path(), Some("1.0")).unwrap();
    let repository = registry.repository("team/app");
    client()
        .copy_image(&source, &repository, Some(&tag("1.0")))
        .await
        .unwrap();
    let there = ImageSource::registry(&client(), &ImageRef::tagged(repository, tag("1.0")));
    assert_eq!(read_everything(&there).await.unwrap(), one.blobs);
}

#[tokio::test]
async fn layouts_that_are_wrong_say_how() {
    let folder = TempDir::new().unwrap();
    let image = small_image("one");
    write_layout(folder.path(), &[(&image, "1.0"), (&small_image("two"), "2.0")]);
    let open = |name: Option<&str>| ImageSource::open(folder.path(), name);
    assert_eq!(code(open(None)), "image-name-needed", "two images and no name");
    assert_eq!(code(open(Some("3.0"))), "not-found");
    let absent = Digest::sha256_of(b"absent").to_string();
    assert_eq!(code(open(Some(&absent))), "not-found");
    let blob = |digest: &Digest| folder.path().join("blobs/sha256").join(digest.hex());
    let layer = &image.manifest.layers[0];
    let read = async || read_everything(&open(Some("1.0")).unwrap()).await;
    fs::write(blob(&layer.digest), "two").unwrap();
    assert_eq!(code(read().await), "digest-mismatch");
    fs::write(blob(&layer.digest), "longer").unwrap();
    assert_eq!(code(read().await), "size-mismatch");
    fs::write(blob(&layer.digest), "o").unwrap();
    assert_eq!(code(read().await), "size-mismatch");
    fs::remove_file(blob(&layer.digest)).unwrap();
    assert_eq!(code(read().await), "not-found");
    fs::create_dir(blob(&layer.digest)).unwrap();
    assert_eq!(code(read().await), "local-image-unreadable");
    fs::write(blob(&image.descriptor.digest), image.bytes.to_ascii_uppercase()).unwrap();
    assert_eq!(code(read().await), "digest-mismatch");
    let huge = fs::File::create(blob(&image.descriptor.digest)).unwrap();
    huge.set_len(100 * 1024 * 1024).unwrap();
    assert_eq!(code(read().await), "too-large");
    fs::write(folder.path().join("oci-layout"), "{}").unwrap();
    assert_eq!(code(open(Some("1.0"))), "malformed");
    fs::remove_file(folder.path().join("oci-layout")).unwrap();
    assert_eq!(code(open(Some("1.0"))), "not-found");
}

/// One member of an archive.
enum Entry<'a> {
    File(&'a str, &'a [u8]),
    Link(&'a str, &'a str),
}

fn tar(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for entry in entries {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        match entry {
            Entry::File(name, content) => {
                header.set_size(content.len() as u64);
                builder.append_data(&mut header, name, *content).unwrap();
            }
            Entry::Link(name, target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_size(0);
                builder.append_link(&mut header, name, target).unwrap();
            }
        }
    }
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn write(folder: &TempDir, bytes: &[u8]) -> std::path::PathBuf {
    let path = folder.path().join("image.tar");
    fs::write(&path, bytes).unwrap();
    path
}

#[tokio::test]
async fn archives_old_and_new_plain_and_compressed() {
    let folder = TempDir::new().unwrap();
    let image = small_image("layer content");
    let (config, layer) = (&image.blobs[0], &image.blobs[1]);
    let long = format!("{}/layer.tar", "d".repeat(200));
    let listed = format!(
        r#"[{{"Config":"c.json","RepoTags":["app:1.0"],"Layers":["{long}"]}},
            {{"Config":"c.json","RepoTags":["app:2.0"],"Layers":["link/layer.tar"]}}]"#
    );
    let old = tar(&[
        Entry::File("./c.json", config),
        Entry::File(&long, layer),
        Entry::Link("link/layer.tar", &format!("../{long}")),
        Entry::File("manifest.json", listed.as_bytes()),
    ]);
    let mut digests = Vec::new();
    for bytes in [old.clone(), gzip(&old)] {
        let path = write(&folder, &bytes);
        for name in ["app:1.0", "docker.io/library/app:2.0"] {
            let source = ImageSource::open(&path, Some(name)).unwrap();
            assert_eq!(read_everything(&source).await.unwrap(), image.blobs, "{name}");
            digests.push(source.resolve().await.unwrap().descriptor.digest);
        }
        assert_eq!(code(ImageSource::open(&path, None)), "image-name-needed");
        assert_eq!(code(ImageSource::open(&path, Some("app:3.0"))), "not-found");
    }
    digests.dedup();
    assert_eq!(digests.len(), 1, "the same manifest is made each time");

    // Docker 25 and later: the image's own manifest is in the archive.
    let path = |digest: &Digest| format!("blobs/sha256/{}", digest.hex());
    let (config_path, layer_path) = (
        path(&image.manifest.config.digest),
        path(&image.manifest.layers[0].digest),
    );
    let manifest_path = path(&image.descriptor.digest);
    let index = proofmark_oci::Index::of(vec![image.descriptor.clone()]).to_json();
    let listed = format!(
        r#"[{{"Config":"{config_path}","RepoTags":["app:1.0"],"Layers":["{layer_path}"],"LayerSources":{{}}}}]"#
    );
    let new = tar(&[
        Entry::File(&config_path, config),
        Entry::File(&layer_path, layer),
        Entry::File(&manifest_path, &image.bytes),
        Entry::File("index.json", &index),
        Entry::File("manifest.json", listed.as_bytes()),
        Entry::File("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#),
    ]);
    let source = ImageSource::open(&write(&folder, &new), None).unwrap();
    assert_eq!(source.resolve().await.unwrap().bytes, image.bytes);
    assert_eq!(read_everything(&source).await.unwrap(), image.blobs);
    let registry = OurRegistry::start(true).await;
    let copied = client()
        .copy_image(&source, &registry.repository("app"), None)
        .await
        .unwrap();
    assert_eq!(copied.descriptor.digest, image.descriptor.digest);
}

#[tokio::test]
async fn a_compressed_layer_keeps_its_bytes() {
    let folder = TempDir::new().unwrap();
    let image = small_image("layer content");
    let layer = gzip(&image.blobs[1]);
    let listed = br#"[{"Config":"c.json","RepoTags":null,"Layers":["l"]}]"#;
    let bytes = tar(&[
        Entry::File("c.json", &image.blobs[0]),
        Entry::File("l", &layer),
        Entry::File("manifest.json", listed),
    ]);
    let source = ImageSource::open(&write(&folder, &bytes), None).unwrap();
    let Manifest::Image(made) = source.resolve().await.unwrap().parse().unwrap() else {
        panic!()
    };
    assert_eq!(made.layers[0].media_type, media_types::OCI_LAYER_GZIP);
    assert_eq!(made.layers[0].digest, Digest::sha256_of(&layer));
    assert_eq!(read_everything(&source).await.unwrap()[1], layer);
}

#[tokio::test]
async fn archives_that_are_wrong_say_how() {
    let folder = TempDir::new().unwrap();
    let image = small_image("layer content");
    let config = &image.blobs[0];
    let listed = br#"[{"Config":"c.json","RepoTags":["a:1"],"Layers":["l"]}]"#.as_slice();
    let whole = tar(&[
        Entry::File("c.json", config),
        Entry::File("l", b"layer content"),
        Entry::File("manifest.json", listed),
    ]);
    let open = |bytes: &[u8]| ImageSource::open(&write(&folder, bytes), None);
    open(&whole).unwrap();
    let mut damaged = whole.clone();
    damaged[0] ^= 1;
    let escaping = br#"[{"Config":"../../etc/passwd","RepoTags":[],"Layers":[]}]"#;
    let mut endless = tar(&[Entry::File("x", b"")]);
    // An extended header that says it is 8 GiB long.
    endless[156] = b'L';
    endless[124..136].copy_from_slice(b"77777777777\0");
    refresh_checksum(&mut endless);
    let loops = [
        Entry::Link("c.json", "d.json"),
        Entry::Link("d.json", "c.json"),
        Entry::File("manifest.json", listed),
    ];
    let more_layers = br#"[{"Config":"c.json","RepoTags":[],"Layers":["l","l"]}]"#;
    for (what, bytes, expected) in [
        ("no tar", b"hello".repeat(200), "malformed"),
        ("damaged", damaged, "malformed"),
        ("cut in a header", whole[..1100].to_vec(), "malformed"),
        ("cut in a member", whole[..530].to_vec(), "malformed"),
        ("empty", Vec::new(), "not-found"),
        ("broken gzip", gzip(&whole)[..100].to_vec(), "malformed"),
        ("no list", tar(&[Entry::File("c.json", config)]), "not-found"),
        ("escape", tar(&[Entry::File("manifest.json", escaping)]), "malformed"),
        ("no config", tar(&[Entry::File("manifest.json", listed)]), "not-found"),
        ("links in a ring", tar(&loops), "not-found"),
        ("endless header", endless, "malformed"),
        (
            "other layers",
            tar(&[
                Entry::File("c.json", config),
                Entry::File("l", b""),
                Entry::File("manifest.json", more_layers),
            ]),
            "malformed",
        ),
    ] {
        assert_eq!(code(open(&bytes)), expected, "{what}");
    }
    // A layer that is not what its config says.
    let lying = tar(&[
        Entry::File("c.json", config),
        Entry::File("l", b"other content"),
        Entry::File("manifest.json", listed),
    ]);
    assert_eq!(code(read_everything(&open(&lying).unwrap()).await), "digest-mismatch");
    assert_eq!(
        code(ImageSource::open(&folder.path().join("absent"), None)),
        "not-found"
    );
}

fn refresh_checksum(archive: &mut [u8]) {
    archive[148..156].copy_from_slice(b"        ");
    let sum: u32 = archive[..512].iter().map(|byte| u32::from(*byte)).sum();
    archive[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}
