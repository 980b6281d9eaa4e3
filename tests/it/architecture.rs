//! Holds `src/` to the shape that the design gives it: the direction of dependencies, which files may name which foreign
//! crates, who may look at secrets, and the size and opening of files.
//!
//! To change the shape, change the tables here, with a reason, and write it down in `docs/adr/`.

mod rules;
mod source;

use std::collections::BTreeSet;
use std::path::Path;

use rules::{CRATES, FORBIDDEN, LAYERS, LINES_MAX, PEERS};
use source::{Source, sources};

/// Fails with one line for each finding.
#[track_caller]
fn no_findings(rule: &str, findings: &[String]) {
    assert!(findings.is_empty(), "{rule}\n  {}\n", findings.join("\n  "));
}

/// The layer of a module path such as `engine::table`: 0 is what everything may use. The longest entry that it begins with
/// counts; a module that no entry names is a leaf, and so may use leaves only.
fn layer(module: &str) -> usize {
    let within = |name: &str| module == name || module.strip_prefix(name).is_some_and(|rest| rest.starts_with("::"));
    let entries = LAYERS.iter().enumerate().flat_map(|(at, names)| names.iter().map(move |name| (LAYERS.len() - 1 - at, *name)));
    entries.filter(|(_, name)| within(name)).max_by_key(|(_, name)| name.len()).map_or(0, |(layer, _)| layer)
}

/// Whether a module may use another of the same layer: leaves may, parts of one folder may, and who is listed.
fn peers(from: &str, to: &str) -> bool {
    if layer(from) == 0 && layer(to) == 0 {
        return true;
    }
    let top = |module: &str| module.split("::").next().unwrap_or_default().to_owned();
    let (from, to) = (top(from), top(to));
    from == to || PEERS.iter().any(|(a, b, _)| *a == from && *b == to)
}

#[test]
fn dependencies_point_one_way() {
    let mut findings = Vec::new();
    for file in sources("src") {
        let Some(user) = file.module() else { continue };
        for (line, used) in file.uses_of_own_modules() {
            let (mine, other) = (layer(&user), layer(&used));
            if other > mine || (other == mine && !peers(&user, &used)) {
                findings.push(format!("{}:{line}: {user} (layer {mine}) uses {used} (layer {other})", file.path));
            }
        }
    }
    no_findings("A module uses what stands above or beside it (LAYERS and PEERS in tests/it/architecture/rules.rs):", &findings);
}

#[test]
fn engines_do_not_know_each_other() {
    // How engines declare themselves, where they are mounted, and what those that are alike share.
    let common = ["table", "directory", "object", "listing", "references"];
    let engine = |module: &str| {
        let name = module.strip_prefix("engine::")?.split("::").next()?;
        (!common.contains(&name)).then(|| name.to_owned())
    };
    let mut findings = Vec::new();
    for file in sources("src/engine") {
        let Some(own) = file.module().as_deref().and_then(engine) else { continue };
        for (line, used) in file.uses_of_own_modules() {
            if let Some(other) = engine(&used).filter(|other| *other != own) {
                findings.push(format!("{}:{line}: {own} uses {other}", file.path));
            }
        }
    }
    no_findings("An engine uses another engine:", &findings);
}

#[test]
fn foreign_crates_stay_where_they_belong() {
    let mut findings = Vec::new();
    for file in sources("src") {
        for (names, homes, reason) in CRATES {
            if homes.iter().any(|home| file.path.starts_with(home)) {
                continue;
            }
            for (line, name) in file.uses_of_crates(names) {
                findings.push(format!("{}:{line}: {name} belongs into {}: {reason}", file.path, homes.join(", ")));
            }
        }
    }
    no_findings("A foreign crate is named outside its place (CRATES in tests/it/architecture/rules.rs):", &findings);
}

#[test]
fn only_listed_files_look_at_secrets() {
    let listed = include_str!("architecture/expose_callers.txt");
    let listed: BTreeSet<&str> = listed.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let files = sources("src");
    let callers = files.iter().filter(|file| file.calls("expose") && !file.is_test());
    let callers: BTreeSet<&str> = callers.map(|file| file.path.as_str()).collect();
    let new = callers.difference(&listed).map(|path| format!("{path} calls expose() and is not listed"));
    let stale = listed.difference(&callers).map(|path| format!("{path} is listed and does not call expose()"));
    let findings: Vec<String> = new.chain(stale).collect();
    no_findings("The list of who looks at secrets (tests/it/architecture/expose_callers.txt) is not right:", &findings);
}

#[test]
fn files_are_short_enough_to_read() {
    let long = |file: &Source| {
        let lines = file.text.lines().count();
        (lines > LINES_MAX).then(|| format!("{}: {lines} lines; at most {LINES_MAX}", file.path))
    };
    let findings: Vec<String> =
        ["src", "tests", "benches", "fuzz"].into_iter().flat_map(sources).filter_map(|file| long(&file)).collect();
    no_findings("A file is too long: split it by what its parts own.", &findings);
}

#[test]
fn folders_open_with_what_they_own() {
    let mut findings = Vec::new();
    let files = sources("src");
    for folder in files.iter().filter_map(|file| Path::new(&file.path).parent()?.to_str()).collect::<BTreeSet<_>>() {
        let opening = [format!("{folder}/mod.rs"), format!("{folder}.rs"), format!("{folder}/lib.rs")];
        match files.iter().find(|file| opening.contains(&file.path)) {
            None => findings.push(format!("{folder}: has no mod.rs")),
            Some(file) if file.text.starts_with("//! ") && !file.text.starts_with("//! (being written)") => {}
            Some(file) => findings.push(format!("{}: does not begin with //! and what the folder owns", file.path)),
        }
    }
    no_findings("A folder does not say what it owns and what it must not do:", &findings);
}

#[test]
fn nothing_is_left_for_later_or_silenced() {
    let mut findings = Vec::new();
    for file in sources("src") {
        for (line, text) in (1..).zip(file.text.lines()) {
            for (word, instead) in FORBIDDEN {
                if text.contains(word) {
                    findings.push(format!("{}:{line}: {word}: {instead}", file.path));
                }
            }
        }
    }
    no_findings("Something that must not be in the code (FORBIDDEN in tests/it/architecture/rules.rs):", &findings);
}

#[test]
fn the_tables_name_what_is_there() {
    let files = sources("src");
    let exists = |path: &str| files.iter().any(|file| file.path.starts_with(path));
    let module = |name: &str| {
        exists(&format!("src/{}.rs", name.replace("::", "/"))) || exists(&format!("src/{}/", name.replace("::", "/")))
    };
    let layers = LAYERS.iter().copied().flatten().filter(|name| !module(name)).map(|name| format!("LAYERS names {name}"));
    let homes =
        CRATES.iter().flat_map(|(_, homes, _)| *homes).filter(|home| !exists(home)).map(|home| format!("CRATES names {home}"));
    let findings: Vec<String> = layers.chain(homes).map(|finding| format!("{finding}, which is not in src/")).collect();
    no_findings("A table of tests/it/architecture/rules.rs is out of date:", &findings);
}
