//! Reading source files well enough to see what they use: comments and literals are blanked, and then words are looked at.

use std::fs;
use std::path::Path;

/// One file.
pub(super) struct Source {
    /// From the project's folder, with `/`: `src/audit/event.rs`.
    pub(super) path: String,
    /// As it stands.
    pub(super) text: String,
    /// The same with comments and the content of literals blanked; lines stay where they are.
    code: String,
}

/// Every `.rs` file below `folder`, which may be missing.
pub(super) fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let code = blank(&text);
                found.push(Source { path: path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), text, code });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

impl Source {
    /// Its module path without `crate`: `audit::event`. `None` for the crate's root, which names everything.
    pub(super) fn module(&self) -> Option<String> {
        let path = self.path.strip_prefix("src/")?.strip_suffix(".rs")?;
        let path = path.strip_suffix("/mod").unwrap_or(path);
        (path != "lib").then(|| path.replace('/', "::"))
    }

    /// Whether it is compiled for tests only: `tests.rs`, `.._tests.rs`, `vectors.rs` or in a folder `tests/`.
    pub(super) fn is_test(&self) -> bool {
        self.path.contains("/tests/") || ["tests.rs", "/vectors.rs"].iter().any(|end| self.path.ends_with(end))
    }

    /// Module paths that are named after `crate::` (or, in the binary, `strongroom::`), each with its line.
    pub(super) fn uses_of_own_modules(&self) -> Vec<(usize, String)> {
        let mut uses = Vec::new();
        for prefix in ["crate::", "strongroom::"] {
            for (at, _) in self.code.match_indices(prefix) {
                if !self.continues_a_name(at) {
                    let line = self.line(at);
                    let paths = expand(self.code.get(at + prefix.len()..).unwrap_or_default());
                    uses.extend(paths.into_iter().map(|path| (line, path)));
                }
            }
        }
        uses
    }

    /// Which of these crates it names, each with its line: `name::` or `use name`.
    pub(super) fn uses_of_crates(&self, names: &[&'static str]) -> Vec<(usize, &'static str)> {
        let mut uses = Vec::new();
        for name in names {
            for (at, _) in self.code.match_indices(name) {
                let after = self.code.get(at + name.len()..).unwrap_or_default();
                let before = self.code.get(..at).unwrap_or_default();
                let path = after.starts_with("::") && !before.ends_with("::");
                let import = before.ends_with("use ") && after.starts_with([';', ' ', ':']);
                if (path || import) && !self.continues_a_name(at) {
                    uses.push((self.line(at), *name));
                }
            }
        }
        uses
    }

    /// Whether it calls a method of that name.
    pub(super) fn calls(&self, method: &str) -> bool {
        self.code.contains(&format!(".{method}()")) || self.code.contains(&format!("::{method})"))
    }

    fn continues_a_name(&self, at: usize) -> bool {
        self.code.get(..at).unwrap_or_default().ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$')
    }

    fn line(&self, at: usize) -> usize {
        self.code.get(..at).unwrap_or_default().matches('\n').count() + 1
    }
}

/// The module paths that `code` begins with: one, or those of a `{..}` group.
fn expand(code: &str) -> Vec<String> {
    let Some(mut group) = code.strip_prefix('{') else { return vec![modules(code)] };
    let mut paths = Vec::new();
    let mut depth = 0_usize;
    let mut fresh = true;
    while let Some(c) = group.chars().next() {
        match c {
            '}' if depth == 0 => break,
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => fresh = true,
            c if c.is_alphanumeric() && fresh && depth == 0 => {
                paths.push(modules(group));
                fresh = false;
            }
            _ => {}
        }
        group = group.get(c.len_utf8()..).unwrap_or_default();
    }
    paths
}

/// The leading lower-case segments of a path: `audit::event` of `audit::event::Event::parse`.
fn modules(code: &str) -> String {
    let end = code.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(code.len());
    let segments = code.get(..end).unwrap_or_default().split("::");
    let lower = segments.take_while(|segment| segment.starts_with(|c: char| c.is_lowercase()));
    lower.collect::<Vec<_>>().join("::")
}

/// Replaces comments and the content of string and character literals by spaces.
fn blank(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = skipped(rest, code.ends_with(|c: char| c.is_alphanumeric() || c == '_'));
        let (part, tail) = rest.split_at(length.max(c.len_utf8()));
        if length == 0 {
            code.push(c);
        } else {
            code.extend(part.chars().map(|c| if c == '\n' { c } else { ' ' }));
        }
        rest = tail;
    }
    code
}

/// The length of the comment or literal that `rest` begins with; 0 when it begins with neither.
fn skipped(rest: &str, in_name: bool) -> usize {
    let until = |mark: &str, from: usize| {
        rest.get(from..).and_then(|tail| tail.find(mark)).map_or(rest.len(), |at| from + at + mark.len())
    };
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return until("*/", 2);
    }
    if rest.starts_with('"') {
        return quoted(rest, '"');
    }
    if !in_name && (rest.starts_with("r\"") || rest.starts_with("r#")) {
        let hashes = rest.bytes().skip(1).take_while(|byte| *byte == b'#').count();
        return if rest.as_bytes().get(1 + hashes) == Some(&b'"') {
            until(&format!("\"{}", "#".repeat(hashes)), hashes + 2)
        } else {
            0
        };
    }
    // A character, not a lifetime: it has a closing quote.
    let character = rest.starts_with("'\\") || (rest.starts_with('\'') && rest.chars().nth(2) == Some('\''));
    if character { quoted(rest, '\'') } else { 0 }
}

/// The length of a literal with escapes, quotes included.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source { path: "src/audit/event.rs".to_owned(), text: text.to_owned(), code: blank(text) }
    }

    #[test]
    fn imports_paths_and_groups_are_seen() {
        let text =
            "use crate::a::b::C;\nuse crate::{d::E, f::{g::H, i}, j};\nlet x = crate::k::l();\nuse strongroom::m;\nmy_crate::n;";
        let uses = source(text).uses_of_own_modules();
        let expected = [(1, "a::b"), (2, "d"), (2, "f"), (2, "j"), (3, "k::l"), (4, "m")];
        assert_eq!(uses, expected.map(|(line, path)| (line, path.to_owned())));
    }

    #[test]
    fn comments_and_literals_are_not_code() {
        let text = "// crate::a\n/* crate::b\n */ \"crate::c \\\" crate::d\" r#\"crate::e \" \"# '\"' 'a crate::f \"";
        let uses = source(text).uses_of_own_modules();
        assert_eq!(uses, [(3, "f".to_owned())]);
    }

    #[test]
    fn crates_are_seen_as_paths_and_imports() {
        let text =
            "use sqlx::Row;\nuse sqlx;\nlet a = sqlx::query(b);\nlet sqlx = my_sqlx::x;\nuse crate::sqlx::y;\nuse sqlx as db;";
        let lines: Vec<usize> = source(text).uses_of_crates(&["sqlx"]).into_iter().map(|(line, _)| line).collect();
        assert_eq!(lines, [1, 2, 3, 6]);
    }

    #[test]
    fn calls_and_modules_are_seen() {
        assert!(source("a.expose()").calls("expose") && source("x.map(SecretText::expose)").calls("expose"));
        assert!(!source("// a.expose()\na.exposed()").calls("expose"));
        assert_eq!(source("").module().as_deref(), Some("audit::event"));
        let named = |path: &str| Source { path: path.to_owned(), text: String::new(), code: String::new() };
        assert!(named("src/audit/event_tests.rs").is_test() && named("src/engine/kv/tests/mod.rs").is_test());
        assert!(!named("src/audit/latests/event.rs").is_test() && !source("").is_test());
    }
}
