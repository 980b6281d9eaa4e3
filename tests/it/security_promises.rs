//! Holds `SECURITY.md` to the tests: each promise names tests, and each of these is in the tree and is run.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A row of the table of promises: `| P1 | promise | mechanism | `test`, `test` |`.
struct Promise {
    number: String,
    tests: Vec<String>,
}

fn promises(text: &str) -> Vec<Promise> {
    let mut promises = Vec::new();
    for line in text.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, number, .., tests, _] = cells.as_slice() else { continue };
        if number.strip_prefix('P').is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())) {
            // What stands between backticks.
            let tests = tests.split('`').skip(1).step_by(2).map(str::to_owned).collect();
            promises.push(Promise { number: (*number).to_owned(), tests });
        }
    }
    promises
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The names of functions that carry `#[test]` or `#[tokio::test]` and are not ignored, and of those that a list such as
/// `both! { bodies::name, }` or `on_stores! { name, }` makes tests of.
fn tests_of(text: &str) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    let (mut is_test, mut listed) = (false, false);
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if line.starts_with("#[ignore") {
            is_test = false;
        } else if ["both! {", "on_stores! {"].contains(&line) {
            listed = true;
        } else if line == "}" {
            listed = false;
        } else if listed {
            names.extend(line.strip_suffix(',').and_then(|line| line.rsplit("::").next()));
        } else if let Some((_, name)) = line.split_once("fn ")
            && std::mem::take(&mut is_test)
        {
            names.extend(name.split(['(', '<']).next());
        }
    }
    names
}

/// The names of all tests of the project.
pub(crate) fn tests() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    rust_files(&root.join("src"), &mut files);
    rust_files(&root.join("tests"), &mut files);
    let sources: Vec<String> = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let tests: BTreeSet<String> = sources.iter().flat_map(|source| tests_of(source)).map(str::to_owned).collect();
    assert!(tests.len() > 250, "only {} tests were found: this check does not see them any more", tests.len());
    tests
}

#[test]
fn every_promise_names_tests_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tests = tests();
    let text = fs::read_to_string(root.join("SECURITY.md")).unwrap();
    let promises = promises(&text);
    assert!(promises.len() >= 10, "only {} promises were found in SECURITY.md", promises.len());
    let mut findings = Vec::new();
    let mut last = 0;
    for promise in &promises {
        let number = promise.number.trim_start_matches('P').parse().unwrap_or(0);
        if number <= last {
            findings.push(format!("{}: promises are numbered upwards, each once", promise.number));
        }
        last = number;
        if promise.tests.is_empty() {
            findings.push(format!("{}: names no test; what no test shows is not promised", promise.number));
        }
        let missing = promise.tests.iter().filter(|name| !tests.contains(name.as_str()));
        findings.extend(missing.map(|name| format!("{}: there is no test {name}", promise.number)));
    }
    assert!(findings.is_empty(), "SECURITY.md:\n  {}", findings.join("\n  "));
}

#[test]
fn tests_are_told_from_other_functions() {
    let text = "fn helper() {}\n#[test]\nfn plain() {}\n#[tokio::test(start_paused = true)]\nasync fn later<T>() {}\n\
                #[test]\n#[ignore = \"by hand\"]\nfn by_hand() {}\nproptest! {\n    #[test]\n    fn property(a: u8) {}\n}\n\
                both! {\n    bodies::listed,\n}\nfn after() {}\n";
    assert_eq!(tests_of(text), BTreeSet::from(["plain", "later", "property", "listed"]));
    let table =
        "| P1 | It holds | sealed | `a`, `b` |\n| PX | no | no | `c` |\n| P2 | It is meant | none | not yet |\nP3 | `d`\n";
    let read: Vec<_> = promises(table).into_iter().map(|promise| (promise.number, promise.tests)).collect();
    assert_eq!(read, [("P1".to_owned(), vec!["a".to_owned(), "b".to_owned()]), ("P2".to_owned(), vec![])]);
}
