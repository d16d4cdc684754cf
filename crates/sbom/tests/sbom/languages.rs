//! Images with packages of languages.

use crate::image::{Files, Image, named, needs, status};

#[test]
fn java_archives_have_places_in_one_another() {
    let bill = Image::of([Files::new()
        .file("srv/all.ear", include_bytes!("../fixtures/java/all.ear"))
        .file("srv/broken.war", "PK no")
        .file(
            "usr/share/java/example-lib.jar",
            include_bytes!("../fixtures/java/example-lib-1.2.0-shaded.jar"),
        )
        .file("var/lib/dpkg/status", status(&["liblib-java 1.2.0-1"]))
        .file(
            "var/lib/dpkg/info/liblib-java.list",
            "/usr/share/java/example-lib.jar\n",
        )])
    .bill();
    let notes: Vec<_> = bill.notes.iter().map(|note| (note.path.as_str(), note.code)).collect();
    assert_eq!(notes, [("srv/broken.war", "java-archive-malformed")]);
    let jars: Vec<_> = bill
        .packages
        .iter()
        .filter(|package| package.name == "example-lib")
        .map(|package| {
            (
                package.purl.as_ref().unwrap().to_string(),
                package.locations[0].path.as_str(),
                package.owned_by.is_some(),
            )
        })
        .collect();
    let purl = "pkg:maven/org.example/example-lib@1.2.0".to_owned();
    assert_eq!(jars.len(), 2);
    assert!(jars.contains(&(
        purl.clone(),
        "srv/all.ear!/app.war!/WEB-INF/lib/example-lib-1.2.0.jar",
        false
    )));
    assert!(jars.contains(&(purl, "usr/share/java/example-lib.jar", true)));
    assert_eq!(
        named(&bill, "mystery").purl,
        None,
        "a name without a group is no name in a Maven repository"
    );
    assert!(needs(&bill).contains(&"example-lib -> inner".to_owned()));
}
