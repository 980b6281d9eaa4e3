//! A copy of a log that witnesses have cosigned, made and verified by the command line, and by a checker that is not ours.

use std::fs;
use std::path::{Path, PathBuf};

use strongroom::audit::cosignature::WitnessKey;
use strongroom::audit::note::TreeHead;
use strongroom::crypto::{SigningAlgorithm, SigningKey};

use super::{number, seen};
use crate::support::client::Client;
use crate::support::process::{Finished, run};
use crate::support::server::Server;
use crate::support::tools;

/// Runs `strongroom audit ..` with nothing but arguments, or asking a server.
pub(super) fn audit(server: Option<&Server>, arguments: &[&str]) -> Finished {
    let variables = server.map_or_else(Vec::new, |server| {
        let target = server.target();
        let ca = target.ca.as_ref().unwrap().to_str().unwrap().to_owned();
        let set = [("BAO_ADDR", target.url), ("BAO_CACERT", ca), ("BAO_TOKEN", target.token)];
        set.map(|(name, value)| (name.to_owned(), value)).to_vec()
    });
    run(&tools::strongroom(), &[&["audit"], arguments].concat(), &variables, None)
}

/// A copy of the log of the namespace `team`.
pub(super) struct Copy {
    pub(super) path: String,
    /// The key of the log, as somebody has it who trusts nobody else.
    trusted: String,
}

impl Copy {
    pub(super) fn of(team: &Client, path: &Path) -> Self {
        let key = team.call("GET", "sys/audit-log/key", None).expect(200).json()["data"]["key"].take();
        Self { path: path.to_str().unwrap().to_owned(), trusted: key.as_str().unwrap().to_owned() }
    }

    fn file(&self, name: &str) -> PathBuf {
        Path::new(&self.path).join(name)
    }

    /// Exports until all of it is witnessed: what was logged in the last seconds may not be.
    #[track_caller]
    pub(super) fn export(&self, server: &Server) {
        seen("a witnessed export", || {
            let done = audit(Some(server), &["export", "--namespace", "team", &self.path]);
            assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);
            (!done.stderr.contains("only the first")).then_some(())
        });
    }

    pub(super) fn verify(&self, more: &[String]) -> Finished {
        let more: Vec<&str> = more.iter().map(String::as_str).collect();
        audit(None, &[&["verify", &self.path, "--key", &self.trusted][..], &more].concat())
    }

    /// Somebody else's program.
    fn verify_elsewhere(&self, witnesses: &[String]) -> Finished {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/python/audit_copy.py");
        let witnesses = witnesses.iter().map(String::as_str).filter(|word| !word.starts_with("--"));
        let arguments: Vec<&str> = [script.to_str().unwrap(), &self.path, &self.trusted].into_iter().chain(witnesses).collect();
        run(&tools::python(), &arguments, &[], None)
    }

    fn size(&self) -> u64 {
        TreeHead::unverified(&fs::read(self.file("checkpoint")).unwrap()).unwrap().size
    }

    /// The size of the newest checkpoint, once it is more than what is there.
    pub(super) fn newer(&self, client: &Client) -> Option<u64> {
        let newest = client.call("GET", "sys/audit-log/checkpoint", None).expect(200).json();
        Some(number(&newest["data"]["size"])).filter(|size| *size > self.size())
    }
}

/// A copy that two witnesses have cosigned, of which `one` names the first.
pub(super) fn verified_by_who_is_trusted(copy: &Copy, both: &[String], one: &[String]) {
    let done = copy.verify(both);
    let whole = format!("witnessed    {} events, by witness.example.com/w1, witness.example.com/w2", copy.size());
    assert!(done.code == 0 && done.stdout.contains(&whole), "{}{}", done.stdout, done.stderr);
    assert!(fs::read_dir(copy.file("witnessed")).unwrap().count() >= 3, "two trees, and that one extends the other");
    let checked = copy.verify_elsewhere(both);
    assert!(checked.code == 0 && checked.stdout.contains("witnessed by 2"), "{}{}", checked.stdout, checked.stderr);

    // Not by a third one; by two of three.
    let own = SigningKey::generate(SigningAlgorithm::EdDsa).unwrap();
    let third = WitnessKey::of("witness.example.com/w1", &own).unwrap().unwrap().to_string();
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let three = [both, &words(&["--witness", &third])].concat();
    let done = copy.verify(&three);
    assert!(done.code == 1 && done.stdout.contains("unwitnessed: witnessed/"), "{}", done.stdout);
    assert!(done.stdout.contains("2 of the 3 witnesses"), "{}", done.stdout);
    assert_eq!(copy.verify(&[three, words(&["--witnesses-required", "2"])].concat()).code, 0);
    for wrong in [
        words(&["--witness", &copy.trusted]),
        words(&["--witnesses-required", "1"]),
        [one, &words(&["--witnesses-required", "2"])].concat(),
        [one, one].concat(),
    ] {
        assert_ne!(copy.verify(&wrong).code, 0, "{wrong:?}");
    }
    // A cosignature that was edited.
    let newest = copy.file(&format!("witnessed/{}", copy.size()));
    let text = fs::read_to_string(&newest).unwrap();
    let (rest, line) = text.split_at(text.rfind("\u{2014} ").unwrap());
    let edited = format!("{rest}{}", line.replacen("AAAA", "AAAB", 1));
    assert_ne!(edited, text);
    fs::write(&newest, edited).unwrap();
    let done = copy.verify(both);
    assert!(done.code == 1 && done.stdout.contains("the cosignature of witness.example.com/w"), "{}", done.stdout);
    assert!(done.stdout.contains("1 of the 2 witnesses"), "{}", done.stdout);
    assert_ne!(copy.verify_elsewhere(both).code, 0);
    fs::write(&newest, text).unwrap();
}
