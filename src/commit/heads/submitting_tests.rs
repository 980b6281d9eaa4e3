//! What is believed of a witness's answer: nothing that its key has not signed for this very tree.

use super::*;
use crate::audit::note::TreeHead;
use crate::crypto::{SigningAlgorithm, SigningKey};

fn key() -> SigningKey {
    SigningKey::generate(SigningAlgorithm::EdDsa).unwrap()
}

fn note(size: u64) -> String {
    TreeHead { origin: "strongroom/d/0".to_owned(), size, root: [7; 32] }.sign(&key()).unwrap()
}

#[test]
fn only_a_cosignature_of_this_tree_by_this_key_is_taken() {
    let (own, stranger, note) = (key(), key(), note(9));
    let witness = WitnessKey::of("w", &own).unwrap().unwrap();
    let said = |status, body: &str| read(&witness, &note, 4, (status, body.as_bytes()));
    let line = witness.cosign(note.as_bytes(), &own, 5).unwrap();
    let other = WitnessKey::of("w2", &stranger).unwrap().unwrap().cosign(note.as_bytes(), &stranger, 5).unwrap();
    let cosigned = Ok(Answered::Cosigned(line.clone()));
    assert_eq!(said(200, &line), cosigned);
    assert_eq!(said(200, &format!("{other}{line}")), cosigned, "others of the same witness's operator");
    // Another key under its name; another tree; twice; nothing; text around it.
    let posed = WitnessKey::of("w", &stranger).unwrap().unwrap().cosign(note.as_bytes(), &stranger, 5).unwrap();
    let elsewhere = witness.cosign(self::note(8).as_bytes(), &own, 5).unwrap();
    let unsigned = line.replacen("AAAA", "BBBB", 1);
    for lie in
        [&posed, &other, &elsewhere, &unsigned, &format!("{line}{line}"), "", "\n", &format!("hello\n{line}"), line.trim_end()]
    {
        assert_eq!(said(200, lie), Err(Failure::NotCosigned), "{lie:?}");
    }
    assert_eq!(said(409, "7\n"), Ok(Answered::Conflict(7)));
    for lie in ["", "7", "07\n", "-1\n", "7\n7\n", "18446744073709551616\n", "many\n"] {
        assert_eq!(said(409, lie), Err(Failure::Malformed), "{lie:?}");
    }
    assert_eq!(read(&witness, &note, 4, (409, &[0xff, b'\n'])), Err(Failure::Malformed));
    assert_eq!(said(422, ""), Err(Failure::Unproven(4)));
    for status in [204, 301, 403, 404, 500] {
        assert_eq!(said(status, &line), Err(Failure::Status(status)));
    }
}
