//! Holds the documents to the tree: files and constants that they name are there, and links lead somewhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::security_promises;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All documents of the project.
fn documents() -> Vec<PathBuf> {
    let folders = [root().to_owned(), root().join("docs"), root().join("docs/adr")];
    let files = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
    let documents: Vec<PathBuf> = files.filter(|file| file.extension().is_some_and(|extension| extension == "md")).collect();
    assert!(documents.len() > 10, "only {} documents were found", documents.len());
    documents
}

/// What stands between backticks.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

fn is_source(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "rs")
}

/// Targets of `[text](target)`, without those of other sites.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split(')').next()).filter(|target| !target.contains("://"))
}

#[test]
fn links_lead_to_files() {
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        let folder = document.parent().unwrap();
        for target in links(&text) {
            let file = target.split('#').next().unwrap_or_default();
            assert!(file.is_empty() || folder.join(file).exists(), "{}: ({target}) leads nowhere", document.display());
        }
    }
}

#[test]
fn sources_that_documents_name_are_there() {
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for name in quoted(&text).filter(|name| is_source(name) && name.contains('/') && !name.contains(['*', '{', ' ', '<'])) {
            let there = [root().join("src").join(name), root().join(name)].iter().any(|path| path.is_file());
            assert!(there, "{}: there is no {name}", document.display());
        }
    }
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn the_table_of_statuses_has_those_that_are_answered() {
    let number = |text: &str| text.parse::<u16>().ok().filter(|number| (100..600).contains(number));
    let source = read("src/answer.rs");
    let answered = source.lines().filter_map(|line| number(line.trim().strip_suffix(',')?.rsplit_once("=> ")?.1));
    // That of a server that is not initialised is `sys/health`'s own.
    let answered: BTreeSet<u16> = answered.chain([501]).collect();
    let text = read("docs/HTTP.md");
    let documented: BTreeSet<u16> = text.lines().filter_map(|line| number(line.strip_prefix("| ")?.split(' ').next()?)).collect();
    assert!(answered.len() > 12);
    assert_eq!(documented, answered);
}

#[test]
fn headers_that_are_read_or_sent_are_documented() {
    let text = read("docs/HTTP.md").to_lowercase();
    let mut checked = 0;
    for file in ["service", "reply"] {
        for name in read(&format!("src/http/{file}.rs")).split("HeaderName::from_static(\"").skip(1) {
            let name = name.split('"').next().unwrap();
            assert!(text.contains(&format!("`{name}")), "src/http/{file}.rs: {name} is not in docs/HTTP.md");
            checked += 1;
        }
    }
    assert!(checked >= 7, "only {checked} headers were found");
}

/// In a row of a table, constants follow the file that sets them.
#[test]
fn limits_name_the_constant_that_sets_them() {
    let text = fs::read_to_string(root().join("docs/LIMITS.md")).unwrap();
    let mut checked = 0;
    for line in text.lines().filter(|line| line.starts_with('|')) {
        let mut source = String::new();
        for name in quoted(line) {
            if is_source(name) {
                source = fs::read_to_string(root().join("src").join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
            } else if name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_' || byte == b'*') {
                let constant = name.split('*').next().unwrap_or_default();
                assert!(source.contains(&format!("const {constant}")), "{name} is not where this row says: {line}");
                checked += 1;
            }
        }
    }
    assert!(checked > 30, "only {checked} constants were found in docs/LIMITS.md");
}

/// The rows of `docs/LIMITS.md` that somebody outside can meet: each is measured in `tests/it/limits.rs`, or names its test.
#[test]
fn every_limit_that_can_be_met_has_a_test() {
    let text = read("docs/LIMITS.md");
    let (met, _inside) = text.split_once("\n## Inside\n").unwrap();
    let (measured, tests) = (read("tests/it/limits.rs"), security_promises::tests());
    let mut findings = Vec::new();
    let mut rows = 0;
    for line in met.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| limit ")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let (row, last) = (cells[0], cells[cells.len() - 1]);
        rows += 1;
        // What a file or a constant is called has other letters.
        let named: Vec<&str> =
            quoted(last).filter(|name| name.contains('_') && !is_source(name) && !name.contains(char::is_uppercase)).collect();
        let there = named.iter().filter(|name| tests.contains(**name)).count();
        if there == 0 && !measured.contains(&format!("(\"{row}\"")) {
            findings.push(row);
        }
    }
    assert!(rows > 100, "only {rows} rows were found");
    assert!(findings.is_empty(), "docs/LIMITS.md: no test at the limit and past it:\n  {}", findings.join("\n  "));
}
