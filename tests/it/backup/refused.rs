//! Backups that are not what was signed, keys and shares that are others, and stores that have something in them.

use std::fs;
use std::path::{Path, PathBuf};

use strongroom::audit::note::LogKey;
use strongroom::crypto::sha256;

use super::stage::{Target, create, ok, refused, restored, strongroom, with_values};
use crate::support::server::Server;

/// What stands before the body of a part, and behind it.
const HEAD: usize = 33;
const HASH: usize = 32;
const MAGIC: usize = 20;

/// The parts of a backup.
fn parts(backup: &[u8]) -> Vec<Vec<u8>> {
    let (mut rest, mut parts) = (&backup[MAGIC..], Vec::new());
    while !rest.is_empty() {
        let length = u32::from_be_bytes(rest[25..29].try_into().unwrap());
        let (part, after) = rest.split_at(HEAD + usize::try_from(length).unwrap() + HASH);
        parts.push(part.to_vec());
        rest = after;
    }
    parts
}

fn joined(backup: &[u8], parts: &[Vec<u8>]) -> Vec<u8> {
    [backup[..MAGIC].to_vec(), parts.concat()].concat()
}

fn verify(file: &Path, key: &str) -> crate::support::process::Finished {
    strongroom(&["backup", "verify", "--key", key, file.to_str().unwrap()], None)
}

#[test]
fn what_was_done_to_a_backup_is_told_and_nothing_is_restored_from_it() {
    let (server, root, key) = with_values("");
    let [file, other] = [(); 2].map(|()| create(&server, &root));
    let (whole, another) = (fs::read(&file).unwrap(), fs::read(&other).unwrap());
    let (own, foreign) = (parts(&whole), parts(&another));
    assert!(own.len() >= 4, "{} parts", own.len());
    let last = own.len() - 1;
    let with = |change: &dyn Fn(&mut Vec<Vec<u8>>)| {
        let mut parts = own.clone();
        change(&mut parts);
        joined(&whole, &parts)
    };
    let forged = with(&|parts| {
        let part = &mut parts[1];
        part[HEAD + 100] ^= 1;
        let end = part.len() - HASH;
        let hash = sha256(&[b"strongroom backup frame v1", &part[..end]]);
        part[end..].copy_from_slice(&hash);
    });
    let cases: [(&str, Vec<u8>, &str); 12] = [
        ("a byte of a body", with(&|parts| parts[2][HEAD + 1000] ^= 1), "part 2 was changed"),
        ("a byte of a length", with(&|parts| parts[2][27] ^= 1), "part 2 was changed"),
        ("a byte of a hash", with(&|parts| *parts[1].last_mut().unwrap() ^= 1), "part 1 was changed"),
        ("cut in a part", whole[..whole.len() / 2].to_vec(), "it is cut off after"),
        ("cut between parts", with(&|parts| parts.truncate(last)), "it is cut off after"),
        ("swapped", with(&|parts| parts.swap(1, 2)), "part 2 stands where part 1 belongs"),
        ("left out", with(&|parts| drop(parts.remove(1))), "part 2 stands where part 1 belongs"),
        ("twice", with(&|parts| parts.insert(2, own[1].clone())), "part 1 stands where part 2 belongs"),
        ("spliced", with(&|parts| parts[1] = foreign[1].clone()), "part 1 is of another backup"),
        ("longer", [whole.clone(), vec![0]].concat(), "something was added after its end"),
        ("forged", forged, "its signature is of other parts"),
        ("nothing of the kind", b"a file of something else".to_vec(), "it is no backup of this software"),
    ];
    let target = Target::sqlite();
    let bad = server.folder().join("bad.backup");
    for (what, bytes, told) in cases {
        fs::write(&bad, bytes).unwrap();
        let said = refused(&verify(&bad, &key));
        assert!(said.contains(told), "{what}: {said}");
        // Who has the seals finds what was forged before the end.
        let said = refused(&target.restore(&bad, &key, server.keys(), &[]));
        assert!(
            said.contains(told) || what == "forged" && said.contains("part 1 is malformed: it does not open"),
            "{what}: {said}"
        );
    }
    // Another key, another deployment's.
    let parsed = LogKey::parse(&key).unwrap();
    let other_key = LogKey::new(parsed.name(), [7; 32]).to_string();
    assert!(refused(&verify(&file, &other_key)).contains("the key did not sign it"));
    let deployment = parsed.name().split('/').nth(1).unwrap();
    let elsewhere = LogKey::new(&parsed.name().replace(deployment, &"0".repeat(32)), [7; 32]).to_string();
    let said = refused(&verify(&file, &elsewhere));
    assert!(said.contains(&format!("it is the backup of deployment {deployment}")), "{said}");
    // Other shares.
    let stranger = Server::initialised_on_sqlite();
    let said = refused(&target.restore(&file, &key, stranger.keys(), &[]));
    assert!(said.contains("does not belong to this deployment's seal"), "{said}");
    assert!(refused(&target.restore(&file, &key, &[], &[])).contains("too few key shares"));
    // Nothing was written all the while.
    let said = ok(&target.restore(&file, &key, server.keys(), &["--dry-run"]));
    assert!(said.contains("nothing was done"), "{said}");
    not_onto_what_is_there(&target, &server, (&file, &other), &key);
}

/// A store that has something in it is left alone, whatever that is.
fn not_onto_what_is_there(target: &Target, server: &Server, (file, other): (&PathBuf, &PathBuf), key: &str) {
    let config = server.folder().join("strongroom.hcl");
    let onto = ["backup", "restore", "--key", key, "--config", config.to_str().unwrap(), file.to_str().unwrap()];
    let shares = format!("{}\n", server.keys().join("\n"));
    let said = refused(&strongroom(&onto, Some(&shares)));
    assert!(said.contains("another strongroom server"), "{said}");
    let (mut there, root) = restored(target, server, file, key);
    let values = root.call("GET", "secret/data/large/3", None).expect(200).json();
    assert_eq!(values["data"]["data"]["number"], 3);
    // The backup that it came from is one that it knows.
    let known = root.call("LIST", "sys/backups", None).expect(200).json();
    let states: Vec<&str> =
        known["data"]["key_info"].as_object().unwrap().values().map(|backup| backup["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["done"], "{known}");
    let key_of = |root: &crate::support::client::Client| LogKey::parse(&super::stage::log_key(root)).unwrap();
    assert!(key_of(&root).name() != LogKey::parse(key).unwrap().name(), "another epoch");
    there.stop();
    for again in [file, other] {
        let said = refused(&target.restore(again, key, server.keys(), &[]));
        assert!(said.contains("the store is not empty: it has deployment"), "{said}");
    }
}
