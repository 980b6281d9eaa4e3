//! A copy of a log that witnesses have cosigned, made and verified by the command line, and by a checker that is not ours.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use strongroom::audit::cosignature::WitnessKey;
use strongroom::audit::note::TreeHead;
use strongroom::crypto::{SigningAlgorithm, SigningKey};

use super::{number, seen};
use crate::support::client::Client;
use crate::support::fixture::{policy, put, token};
use crate::support::process::{Finished, run};
use crate::support::server::Server;
use crate::support::tools;

/// Runs `strongroom audit ..` with nothing but arguments, or asking a server.
pub(super) fn audit(server: Option<&Server>, arguments: &[&str]) -> Finished {
    let token = server.map_or_else(String::new, |server| server.target().token);
    audit_with(server, &token, arguments)
}

/// The same with another token.
pub(super) fn audit_with(server: Option<&Server>, token: &str, arguments: &[&str]) -> Finished {
    let variables = server.map_or_else(Vec::new, |server| {
        let target = server.target();
        let ca = target.ca.as_ref().unwrap().to_str().unwrap().to_owned();
        let set = [("BAO_ADDR", target.url), ("BAO_CACERT", ca), ("BAO_TOKEN", token.to_owned())];
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

/// Somebody who watches over all namespaces takes the deployment's log, learns no name, and holds the copy of a namespace against it.
pub(super) fn followed_by_a_monitor(
    (server, root): (&Server, &Client),
    team: &Client,
    copy: &Copy,
    dir: &Path,
    log: &str,
    witnesses: &[String],
) {
    let may_watch = r#"path "sys/audit-log/deployment*" { capabilities = ["read"] }"#;
    policy(root, "monitor", may_watch);
    let monitor = token(root, &json!({"policies": ["monitor"], "no_default_policy": true})).text;
    team.call("GET", "sys/audit-log/deployment/heads", None).expect(400);
    for malformed in ["from=x", "limit=0", "limit=1001"] {
        root.call("GET", &format!("sys/audit-log/deployment/heads?{malformed}"), None).expect(400);
    }
    let past = root.call("GET", "sys/audit-log/deployment/heads?from=1000000", None).expect(200).json();
    assert_eq!(past["data"]["entries"], json!([]));

    let path = dir.to_str().unwrap();
    let size = || TreeHead::unverified(&fs::read(dir.join("checkpoint")).unwrap()).unwrap().size;
    let export = || {
        let done = audit_with(Some(server), &monitor, &["export", "--deployment", path]);
        assert!(done.code == 0 && done.stdout.contains("heads"), "{}{}", done.stdout, done.stderr);
    };
    export();
    let first = size();
    put(team, "monitored", &json!({"k": "v"}));
    seen("a head more", || {
        export();
        (size() > first).then_some(())
    });
    let verify = |more: &[&str]| audit(None, &[&["verify", path, "--key", log], more].concat());
    let words: Vec<&str> = witnesses.iter().map(String::as_str).collect();
    let done = verify(&words);
    assert!(done.code == 0 && done.stdout.contains("w1, witness.example.com/w2"), "{}{}", done.stdout, done.stderr);
    // With the key of any log of the deployment, and by another program.
    assert_eq!(audit(None, &["verify", path, "--key", &copy.trusted]).code, 0);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/python/audit_copy.py");
    let checked = run(&tools::python(), &[script.to_str().unwrap(), path, log], &[], None);
    assert_eq!(checked.code, 0, "{}{}", checked.stdout, checked.stderr);
    for file in ["tile/entries/000.p", "checkpoint"] {
        let holds_name = walk(dir).iter().any(|path| {
            path.to_string_lossy().contains(file) && String::from_utf8_lossy(&fs::read(path).unwrap()).contains("team")
        });
        assert!(!holds_name, "{file} has a name");
    }

    // The copy of a namespace is of the history that everybody sees.
    let held = |more: &[&str]| audit(None, &[&["verify", &copy.path, "--key", &copy.trusted, "--heads", path], more].concat());
    let done = held(&words);
    assert!(done.code == 0 && done.stdout.matches("verified").count() == 2, "{}{}", done.stdout, done.stderr);
    let entries = walk(dir).into_iter().find(|path| path.to_string_lossy().contains("entries")).unwrap();
    let honest = fs::read(&entries).unwrap();
    let mut edited = honest.clone();
    let last = edited.len() - 3;
    edited[last] ^= 1;
    fs::write(&entries, edited).unwrap();
    let done = held(&[]);
    assert!(done.code == 1 && done.stdout.contains("changed"), "{}{}", done.stdout, done.stderr);
    fs::write(&entries, honest).unwrap();
}

fn walk(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}
