//! The `anchor` stanza: where it is written down, outside of the database, what was signed of the audit log.

use std::path::PathBuf;
use std::time::Duration;

use super::archive::{ArchiveTarget, named, target, timeout};
use super::{ConfigError, Setting};
use crate::stanza::Stanza;

/// The one `anchor` stanza.
pub enum Anchor {
    /// `anchor "file" { path = ".." }`.
    File(PathBuf),
    /// `anchor "s3"`, `"gcs"` or `"azure"`.
    Object(AnchorObject),
}

/// An object in a storage.
pub struct AnchorObject {
    /// Where it is.
    pub to: ArchiveTarget,
    /// What it is called there.
    pub name: String,
    /// The longest that one call may take.
    pub timeout: Duration,
}

pub(super) fn anchor(top: &mut Stanza) -> Result<Option<Anchor>, ConfigError> {
    let Some((kind, mut stanza)) = top.labelled("anchor")? else { return Ok(None) };
    let setting = top.setting("anchor", &stanza.place);
    let anchor = match kind.as_str() {
        "file" => Anchor::File(file(&mut stanza, &setting)?),
        "s3" | "gcs" | "azure" => Anchor::Object(object(&kind, &mut stanza, &setting)?),
        _ => return Err(setting.wrong("only \"file\", \"s3\", \"gcs\" and \"azure\" are offered")),
    };
    stanza.finish()?;
    Ok(Some(anchor))
}

fn file(stanza: &mut Stanza, setting: &Setting) -> Result<PathBuf, ConfigError> {
    let path = stanza.file("path")?.map(|file| file.path).filter(|path| path.is_absolute());
    path.ok_or_else(|| setting.wrong("needs path: the absolute path of a file of this server alone, not beside the database"))
}

fn object(kind: &str, stanza: &mut Stanza, setting: &Setting) -> Result<AnchorObject, ConfigError> {
    let to = target(kind, stanza, setting)?;
    let name = named(stanza, "name")?.filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| setting.wrong("needs name: that of an object of this server alone"))?;
    Ok(AnchorObject { to, name, timeout: timeout(stanza)? })
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Source, parse};
    use super::*;
    use crate::secret::SecretText;

    fn read(text: &str) -> Result<Config, ConfigError> {
        let text = format!("storage \"sqlite\" {{ path = \"x.db\" }}\nlistener \"tcp\" {{ tls_disable = true }}\n{text}");
        parse(&[Source { file: PathBuf::from("a.hcl"), text: SecretText::new(text) }], None)
    }

    #[test]
    fn anchors_are_a_file_or_an_object() {
        assert!(read("").unwrap().anchor.is_none());
        let file = read("anchor \"file\" {\npath = \"/a/b\"\n}").unwrap().anchor;
        let Some(Anchor::File(path)) = file else { panic!("not a file") };
        assert_eq!(path.to_str(), Some("/a/b"));
        for (stanza, kind) in [
            ("\"s3\" {\nbucket = \"b\"\n", "s3"),
            ("\"gcs\" {\nbucket = \"b\"\n", "gcs"),
            ("\"azure\" {\ncontainer = \"c\"\n", "azure"),
        ] {
            let found = read(&format!("anchor {stanza}name = \"/a/one/\"\n}}")).unwrap().anchor;
            let Some(Anchor::Object(object)) = found else { panic!("{kind}") };
            assert_eq!((object.to.kind(), object.name.as_str(), object.timeout), (kind, "a/one", Duration::from_secs(30)));
        }
        for (stanza, problem) in [
            ("\"file\" {\npath = \"a\"\n}", "needs path"),
            ("\"file\" {\npath = \"/a\"\nname = \"b\"\n}", "name"),
            ("\"s3\" {\nbucket = \"b\"\n}", "needs name"),
            ("\"s3\" {\nname = \"b\"\n}", "needs bucket"),
            ("\"s3\" {\nbucket = \"b\"\nname = \"../b\"\n}", "must be a path"),
            ("\"s3\" {\nbucket = \"b\"\nname = \"b\"\ntimeout = \"1h\"\n}", "must be from 100ms to 5m"),
            ("\"ftp\" {\nname = \"b\"\n}", "are offered"),
            ("\"file\" {\npath = \"/a\"\n}\nanchor \"file\" {\npath = \"/b\"\n}", "already set"),
        ] {
            let said = read(&format!("anchor {stanza}")).err().expect(stanza).to_string();
            assert!(said.contains(problem), "{stanza}: {said}");
        }
    }
}
