//! Versions in bytes, packages in notes, and kernels.

use super::executables::{elf, with_section};
use super::*;

/// Bytes around the version in programs of Debian 12 (Node.js of its own builds), cut out of them.
const REAL: &[(&str, &[u8], &str)] = &[
    (
        "bin/bash",
        b" law.\0\0\0@(#)Bash version 5.2.15(1) release GNU\0\0\x01\0\0\0",
        "bash 5.2.15",
    ),
    (
        "bin/busybox",
        b"t of memory\0BusyBox v1.35.0 (Debian 1:1.35.0-4+de",
        "busybox 1.35.0",
    ),
    (
        "usr/bin/curl",
        b"ication/json\0curl/7.88.1\0\0\0\0\0\0\0\0\xfc\xa9\xf1\xd2Mb@C\0\0\0\0\0@",
        "curl 7.88.1",
    ),
    (
        "usr/lib/libcurl.so.4.8.0",
        b"DICT\0\0\0\0\0\0\0\0CLIENT libcurl 7.88.1\r\nMATCH %s %s %s\r\nQUI",
        "curl 7.88.1",
    ),
    (
        "usr/sbin/dropbear",
        b"rypto error\0SSH-2.0-dropbear_2022.83\r\n\0/bin/sh\0!!\0Signal",
        "dropbear 2022.83",
    ),
    (
        "usr/lib/libexpat.so.1.8.10",
        b"not started\0expat_2.5.0\0\\0\0\\x1\0\\x2\0\\x3\0\\x4\0\\x5\0",
        "expat 2.5.0",
    ),
    (
        "usr/bin/git",
        b"\xef\x01\x0e\0\xef\xbb\xbf\0\xff\xfe\xfe\xffgit/2.39.5\0GIT_USER_AGENT\0\x002.39.5",
        "git 2.39.5",
    ),
    (
        "lib/libc.so.6",
        b"9+deb12u14) stable release version 2.36.\nCopyright (C) 2022 Fr",
        "glibc 2.36",
    ),
    (
        "usr/lib/libgnutls.so.30",
        b"m-config\0\0\0\0Enabled GnuTLS 3.7.9 logging...\n\0\0\0\0\0\0\0\0Ch",
        "gnutls 3.7.9",
    ),
    (
        "usr/sbin/haproxy",
        b"\x08,\x08;\x08X\x08Z\x08\0\0\0\0 version 2.6.12-1+deb12u3, released 20",
        "haproxy 2.6.12",
    ),
    (
        "usr/sbin/apache2",
        b"y \"\0mailto:\0Apache/2.4.68\0 Server at <a href=\"\0<ad",
        "httpd 2.4.68",
    ),
    (
        "usr/sbin/lighttpd",
        b"te support\n\0lighttpd/1.4.69\0server\0\0\0Are you nuts ",
        "lighttpd 1.4.69",
    ),
    (
        "usr/sbin/mariadbd",
        b"2u1\x0010.11.18-MariaDB\0x86_64\0debian-linux-gnu\0%s ",
        "mariadb 10.11.18",
    ),
    (
        "usr/bin/memcached",
        b"_cmd\0listen\0memcached 1.6.18\0udp-port\0memcached 1.6",
        "memcached 1.6.18",
    ),
    (
        "usr/sbin/nginx",
        b"ption: \"%c\"\0nginx version: nginx/1.22.1\n\0OpenSSL 3.0.20 7 Apr",
        "nginx 1.22.1",
    ),
    (
        "usr/bin/node",
        b" \0]\n\n\0/json\0node.js/v20.20.2\0(delegate_) != nullp",
        "node 20.20.2",
    ),
    (
        "usr/sbin/sshd",
        b"ithms\0\0\0\0\0\0\0OpenSSH_9.2p1 Debian-2+deb12u10\0usage: s",
        "openssh 9.2p1",
    ),
    (
        "usr/lib/libcrypto.so.3",
        b"\x81\r\x80\x03\x80\x03\x80\x03\x80\x03@\0OpenSSL 3.0.20 7 Apr 2026\x003.0.20\0not ",
        "openssl 3.0.20",
    ),
    (
        "usr/bin/perl",
        b"AL_RAND_SEED\0v5.36.0\0panic: sysconf: %s\0pani",
        "perl 5.36.0",
    ),
    (
        "usr/bin/php8.2",
        b"\0X-Powered-By: PHP/8.2.32\0index pointer\0PHP_VERS",
        "php 8.2.32",
    ),
    (
        "usr/lib/postgresql/15/bin/postgres",
        b"n \"%s\".\0\0\0\0\0\0PostgreSQL 15.18 (Debian 15.18-0+deb12u1)",
        "postgresql 15.18",
    ),
    (
        "usr/bin/python3.11",
        b"malloc_debug\x003.11.2\0strict\0<prefix>/lib/pythonX",
        "python 3.11.2",
    ),
    (
        "usr/lib/libpython3.11.so.1.0",
        b"r $\0%s: '%s'\x003.11.2\0%.80s (%.80s) %.80s\0PYTHONI",
        "python 3.11.2",
    ),
    (
        "usr/lib/libruby-3.1.so.3.1.2",
        b"\0\0\0\0\0\0\0\0\0\0\0\0\0ruby 3.1.2p20 (2022-04-12 revision",
        "ruby 3.1.2",
    ),
    (
        "usr/sbin/varnishd",
        b"d87a\0\0\0\0\0\0\0\0varnish-7.1.1 revision 7cee1c581bead2",
        "varnish 7.1.1",
    ),
    (
        "lib/libz.so.1.2.13",
        b"\xa1\x8e\x0c\xc3\x1b\xdf\x05Z\x8d\xef\x02- deflate 1.2.13 Copyright 1995-2022 Je",
        "zlib 1.2.13",
    ),
    // Texts as other builds have them, from their sources.
    (
        "usr/bin/redis-server",
        b"\0\x007.2.4buildkitsandbox-1704792042000000000\0",
        "redis 7.2.4",
    ),
    (
        "usr/sbin/mysqld",
        b"\0/usr/src/mysql-8.0.34/sql/main.cc\0",
        "mysql 8.0.34",
    ),
    (
        "usr/local/openresty/nginx/sbin/nginx",
        b"nginx version: openresty/1.21.4.1\n\0",
        "openresty 1.21.4.1",
    ),
    (
        "usr/lib/libcrypto.so.1.1",
        b"\0OpenSSL 1.1.1w  11 Sep 2023\0",
        "openssl 1.1.1w",
    ),
    (
        "usr/local/bin/python3.13",
        b"\x003.12.1\0\x003.13.0rc1\0\0",
        "python 3.13.0rc1",
    ),
    (
        "usr/local/sbin/php-fpm",
        b"X-Powered-By: PHP/8.4.0RC1\0\0",
        "php 8.4.0RC1",
    ),
];

fn found(path: &str, bytes: &[u8]) -> Vec<String> {
    let mut search = Search::new(path);
    search.feed(bytes);
    shown(search.finish())
}

fn shown(facts: Vec<Fact>) -> Vec<String> {
    packages(facts)
        .iter()
        .map(|draft| {
            assert_eq!(
                (draft.kind, draft.uncertain),
                (PackageKind::Generic, Some(Uncertainty::FromContent))
            );
            format!("{} {}", draft.name, draft.version.as_deref().unwrap_or("-"))
        })
        .collect()
}

#[test]
fn programs_say_their_version() {
    for (path, bytes, expected) in REAL {
        assert_eq!(found(path, bytes), [*expected], "{path}");
        let program = elf(".rodata", bytes);
        assert_eq!(shown(read_executable(path, &program).unwrap()), [*expected], "{path}");
        assert!(found("usr/bin/other", bytes).is_empty(), "{path}: only under its name");
    }
}

#[test]
fn pieces_do_not_cut_a_version() {
    for (path, bytes, expected) in REAL {
        for at in 1..bytes.len() {
            let mut search = Search::new(path);
            for piece in [&[b'.'; 300], &bytes[..at], &bytes[at..], &[b'.'; 300]] {
                search.feed(piece);
            }
            assert_eq!(shown(search.finish()), [*expected], "{path} cut at {at}");
        }
    }
}

#[test]
fn what_looks_like_a_version_is_none() {
    for (path, bytes) in [
        ("usr/sbin/apache2", b"Apache/2.4\0\0".as_slice()),
        ("usr/sbin/sshd", b"OpenSSH_2.*,OpenSSH_3.0*,OpenSSH_9.2\0\0"),
        ("usr/bin/nginx", b"nginx version: nginx/%s\0\0"),
        ("usr/sbin/nginx", b"nginx version: nginx/1.22.1x\0\0"),
        ("usr/bin/python3.11", b"\x003.10.2\0\0\x003.11.2 \0\0"),
        ("usr/bin/python3", b"\x003.11.2\0\0"),
        ("usr/sbin/mysqld", b"1.10.11-MariaDB\0\0no.10.11-MariaDB\0"),
        ("usr/bin/redis-server", b"\x007.0.15\0\0\x002.1.0\0\0"),
        ("usr/sbin/lighttpd", b"lighttpd/1.4.12345678901234567890\0\0"),
        ("bin/bash", b"@(#)Bash version 5.2."),
    ] {
        let found = found(path, bytes);
        assert!(
            found.is_empty() || path.ends_with("mysqld") && found == ["mariadb 1.10.11"],
            "{path}: {found:?}"
        );
    }
    assert!(
        read_executable("usr/sbin/nginx", b"#!/bin/sh nginx version: nginx/1.22.1\n\0")
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_million_places_end() {
    let bytes = b"Apache/".repeat(1_000_000);
    assert!(found("usr/sbin/httpd", &bytes).is_empty());
}

fn note(json: &str, kind: u32) -> Vec<u8> {
    let mut note = Vec::new();
    note.extend_from_slice(&4u32.to_le_bytes());
    note.extend_from_slice(&u32::try_from(json.len() + 1).unwrap().to_le_bytes());
    note.extend_from_slice(&kind.to_le_bytes());
    note.extend_from_slice(b"FDO\0");
    note.extend_from_slice(json.as_bytes());
    note.resize(note.len().next_multiple_of(4) + 4, 0);
    note
}

#[test]
fn programs_carry_notes_of_their_package() {
    let json = r#"{"type":"rpm","name":"curl","version":"8.2.1-3.fc39","architecture":"x86_64","os":"fedora","osCpe":"cpe:/o:f"}"#;
    let program = elf(".note.package", &note(json, 0xcafe_1a7e));
    let drafts = packages(read_executable("usr/bin/x", &program).unwrap());
    let curl = &drafts[0];
    assert_eq!(
        (curl.kind, curl.name.as_str(), curl.version.as_deref()),
        (PackageKind::Rpm, "curl", Some("8.2.1-3.fc39"))
    );
    assert_eq!(
        (curl.group.as_deref(), curl.uncertain),
        (Some("fedora"), Some(Uncertainty::FromContent))
    );
    for broken in [
        note(json, 1),
        note("{", 0xcafe_1a7e),
        note("{\"name\":7}", 0xcafe_1a7e),
        note("{}", 0xcafe_1a7e),
        vec![0xff; 12],
    ] {
        let facts = read_executable("usr/bin/x", &elf(".note.package", &broken)).unwrap();
        let [Fact::Problem(problem)] = facts.as_slice() else {
            panic!("{facts:?}");
        };
        assert_eq!(problem.code, "elf-package-note-malformed");
    }
    let other = with_section(object::BinaryFormat::Elf, ".note.other", b"x");
    assert!(read_executable("usr/bin/x", &other).unwrap().is_empty());
}

#[test]
fn kernels_say_their_version() {
    let mut kernel = vec![0; 4096];
    kernel[0x202..0x206].copy_from_slice(b"HdrS");
    kernel[0x20e..0x210].copy_from_slice(&0x600u16.to_le_bytes());
    kernel[0x800..0x820].copy_from_slice(b"6.1.0-18-amd64 (debian@x) #1 SMP");
    let drafts = packages(read_bytes("boot/vmlinuz-6.1.0-18-amd64", &kernel).unwrap());
    assert_eq!(
        (drafts[0].name.as_str(), drafts[0].version.as_deref()),
        ("linux-kernel", Some("6.1.0-18-amd64"))
    );
    kernel[0x20f] = 0xff;
    let error = read_bytes("boot/vmlinuz", &kernel).unwrap_err();
    assert_eq!(error.code, "kernel-version-malformed");
    assert!(
        read_bytes("boot/vmlinuz", b"\x1f\x8b of another processor")
            .unwrap()
            .is_empty()
    );
    assert!(!is_wanted("home/vmlinuz"));
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces(bytes: Vec<u8>, at in 0usize..200, which in 0usize..20) {
        let mut search = Search::new(REAL[which].0);
        let at = at.min(bytes.len());
        search.feed(&bytes[..at]);
        search.feed(&bytes[at..]);
        let _ = search.finish();
        let _ = elf_note::parse(&bytes);
    }
}
