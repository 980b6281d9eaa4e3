//! Files that an operator writes, HCL or JSON, as entries with their places, and typed readers of them.
//!
//! A stanza is a list of entries, which a reader takes one by one; what nobody took is unknown. Must not know what any
//! key means. Durations are `std::time::Duration`. A value of a file is never part of an error: it may be a password.

mod hcl;
mod json;
mod origin;
mod place;
mod source;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use origin::checked_entries;
pub use origin::{LookUp, Origin, Whence};
pub use place::{FileError, FileSetting, Place, Setting};
pub use source::{Source, read};

use crate::secret::SecretText;
use crate::time::parse_duration;

/// All sources as one list of entries, in order.
pub(crate) fn entries(sources: &[Source]) -> Result<Vec<Entry>, FileError> {
    let mut entries = Vec::new();
    for source in sources {
        let file = Arc::new(source.file.clone());
        let json = source.file.extension().is_some_and(|extension| extension == "json");
        let read = if json { json::entries } else { hcl::entries };
        entries.extend(read(&file, source.text.expose())?);
    }
    Ok(entries)
}

/// One `key = value` or `key "label" { .. }`.
pub(crate) struct Entry {
    pub(crate) key: String,
    /// Labels of a block; empty for an attribute, and for blocks of the JSON form.
    pub(crate) labels: Vec<String>,
    pub(crate) place: Place,
    pub(crate) value: Value,
}

/// What an entry holds. No `Debug`: it may be a password.
pub(crate) enum Value {
    Text(SecretText),
    /// Written without quotes.
    Number(String),
    Boolean(bool),
    List(Vec<Value>),
    Block(Vec<Entry>),
    /// It stands elsewhere.
    Origin(Origin),
}

/// Entries of one stanza, or of all files together, that are still to be read.
pub(crate) struct Stanza {
    /// `listener "tcp"`; empty at the top.
    name: String,
    pub(crate) place: Place,
    entries: Vec<Entry>,
    known: Vec<&'static str>,
}

impl Stanza {
    pub(crate) fn new(name: String, place: Place, entries: Vec<Entry>) -> Self {
        Self { name, place, entries, known: Vec::new() }
    }

    pub(crate) fn setting(&self, key: &str, place: &Place) -> Setting {
        let key = if self.name.is_empty() { key.to_owned() } else { format!("{} {key}", self.name) };
        Setting { place: place.clone(), key }
    }

    /// Takes every entry of this key.
    pub(crate) fn take_all(&mut self, key: &'static str) -> Vec<Entry> {
        self.known.push(key);
        self.entries.extract_if(.., |entry| entry.key == key).collect()
    }

    /// Takes the one entry of this key; two are an error that names both places.
    pub(crate) fn take(&mut self, key: &'static str) -> Result<Option<(Value, Setting)>, FileError> {
        let mut found = self.take_all(key).into_iter();
        let Some(entry) = found.next() else { return Ok(None) };
        if let Some(second) = found.next() {
            return Err(self.setting(key, &second.place).wrong(format!("is already set in {}", entry.place)));
        }
        let setting = self.setting(key, &entry.place);
        Ok(Some((entry.value, setting)))
    }

    /// A text that may be secret.
    pub(crate) fn secret(&mut self, key: &'static str) -> Result<Option<(SecretText, Setting)>, FileError> {
        match self.take(key)? {
            None => Ok(None),
            Some((Value::Text(text), setting)) => Ok(Some((text, setting))),
            Some((_, setting)) => Err(setting.wrong("must be a text in quotes")),
        }
    }

    /// A text.
    pub(crate) fn text(&mut self, key: &'static str) -> Result<Option<(String, Setting)>, FileError> {
        Ok(self.secret(key)?.map(|(text, setting)| (text.expose().to_owned(), setting)))
    }

    /// A text that is one of `words`.
    pub(crate) fn word<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)]) -> Result<Option<T>, FileError> {
        let Some((text, setting)) = self.text(key)? else { return Ok(None) };
        let found = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(&text)).map(|(_, value)| *value);
        let names = || words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
        found.map(Some).ok_or_else(|| setting.wrong(format!("must be one of {}", names())))
    }

    /// True or false, also as Vault's users write it: `"true"`, `1`, `"1"`.
    pub(crate) fn boolean(&mut self, key: &'static str) -> Result<Option<(bool, Setting)>, FileError> {
        let Some((value, setting)) = self.take(key)? else { return Ok(None) };
        let word = match &value {
            Value::Boolean(value) => return Ok(Some((*value, setting))),
            Value::Text(text) => text.expose(),
            Value::Number(number) => number,
            Value::List(_) | Value::Block(_) | Value::Origin(_) => "",
        };
        match word {
            "true" | "1" => Ok(Some((true, setting))),
            "false" | "0" => Ok(Some((false, setting))),
            _ => Err(setting.wrong("must be true or false")),
        }
    }

    /// A whole number.
    pub(crate) fn integer(&mut self, key: &'static str) -> Result<Option<(u64, Setting)>, FileError> {
        let Some((value, setting)) = self.take(key)? else { return Ok(None) };
        let number = match &value {
            Value::Number(number) => number.parse().ok(),
            Value::Text(text) => text.expose().parse().ok(),
            _ => None,
        };
        number.map(|number| Some((number, setting.clone()))).ok_or_else(|| setting.wrong("must be a whole number"))
    }

    /// A duration: seconds, or Go's form in quotes.
    pub(crate) fn duration(&mut self, key: &'static str) -> Result<Option<(Duration, Setting)>, FileError> {
        let Some((value, setting)) = self.take(key)? else { return Ok(None) };
        let duration = match &value {
            Value::Number(number) => parse_duration(number),
            Value::Text(text) if !text.expose().trim().is_empty() => parse_duration(text.expose()),
            _ => None,
        };
        duration
            .map(|duration| Some((duration, setting.clone())))
            .ok_or_else(|| setting.wrong("is not a duration: write it like \"30s\", \"5m\" or \"768h\""))
    }

    /// A duration that is not zero, or `default`.
    pub(crate) fn duration_or(&mut self, key: &'static str, default: Duration) -> Result<Duration, FileError> {
        match self.duration(key)? {
            None => Ok(default),
            Some((Duration::ZERO, setting)) => Err(setting.wrong("must be longer than zero")),
            Some((duration, _)) => Ok(duration),
        }
    }

    /// An IP address with a port; a host name is not looked up.
    pub(crate) fn address(&mut self, key: &'static str) -> Result<Option<(SocketAddr, Setting)>, FileError> {
        let Some((text, setting)) = self.text(key)? else { return Ok(None) };
        let text = text.strip_prefix("localhost:").map_or_else(|| text.clone(), |port| format!("127.0.0.1:{port}"));
        let address = text.parse().map_err(|_| setting.wrong("is not an IP address with a port, like \"127.0.0.1:8200\""))?;
        Ok(Some((address, setting)))
    }

    /// A path of a file.
    pub(crate) fn file(&mut self, key: &'static str) -> Result<Option<FileSetting>, FileError> {
        let Some((path, setting)) = self.text(key)? else { return Ok(None) };
        if path.is_empty() {
            return Err(setting.wrong("must name a file"));
        }
        Ok(Some(FileSetting { path: PathBuf::from(path), setting }))
    }

    /// A list of texts.
    pub(crate) fn texts(&mut self, key: &'static str) -> Result<Option<(Vec<String>, Setting)>, FileError> {
        let Some((value, setting)) = self.take(key)? else { return Ok(None) };
        let Value::List(values) = value else { return Err(setting.wrong("must be a list of texts")) };
        let mut texts = Vec::with_capacity(values.len());
        for value in values {
            let Value::Text(text) = value else { return Err(setting.wrong("must be a list of texts")) };
            texts.push(text.expose().to_owned());
        }
        Ok(Some((texts, setting)))
    }

    /// Every stanza of this key, whatever its form: labelled blocks (HCL) or nested objects and lists of them (JSON).
    /// `labels` is how many labels one has; a further one is optional where `named`.
    pub(crate) fn stanzas(
        &mut self,
        key: &'static str,
        labels: usize,
        named: bool,
    ) -> Result<Vec<(Vec<String>, Stanza)>, FileError> {
        let mut found = Vec::new();
        for entry in self.take_all(key) {
            let setting = self.setting(key, &entry.place);
            unfold(entry.value, entry.labels, &entry.place, labels, named, &mut found)
                .map_err(|problem| setting.wrong(problem))?;
        }
        let stanza = |(labels, place, entries): Unfolded| {
            let name = labels.iter().fold(key.to_owned(), |name, label| format!("{name} \"{label}\""));
            (labels, Stanza::new(name, place, entries))
        };
        Ok(found.into_iter().map(stanza).collect())
    }

    /// The one stanza of this key, without labels.
    pub(crate) fn stanza(&mut self, key: &'static str) -> Result<Option<Stanza>, FileError> {
        Ok(self.one(key, 0)?.map(|(_, stanza)| stanza))
    }

    /// The one stanza of this key, with its label: `storage "sqlite" { .. }`.
    pub(crate) fn labelled(&mut self, key: &'static str) -> Result<Option<(String, Stanza)>, FileError> {
        Ok(self.one(key, 1)?.map(|(labels, stanza)| (labels.into_iter().next().unwrap_or_default(), stanza)))
    }

    fn one(&mut self, key: &'static str, labels: usize) -> Result<Option<(Vec<String>, Stanza)>, FileError> {
        let mut found = self.stanzas(key, labels, false)?.into_iter();
        let first = found.next();
        if let (Some((_, first)), Some((_, second))) = (&first, found.next()) {
            return Err(self.setting(key, &second.place).wrong(format!("is already set in {}", first.place)));
        }
        Ok(first)
    }

    /// Everything that was not taken.
    pub(crate) fn rest(self) -> Vec<Entry> {
        self.entries
    }

    /// Refuses what was not taken.
    pub(crate) fn finish(self) -> Result<(), FileError> {
        let Some(entry) = self.entries.first() else { return Ok(()) };
        let setting = self.setting(&entry.key, &entry.place);
        Err(setting.wrong(format!("unknown key; known here: {}", self.known.join(", "))))
    }
}

type Unfolded = (Vec<String>, Place, Vec<Entry>);

/// A stanza inside a stanza that may go without a name is not that name.
const NO_NAME: &str = "options";

/// Turns `{"tcp": {..}}`, `[{"tcp": {..}}, ..]` and `"tcp" {..}` into labels and entries.
fn unfold(
    value: Value,
    labels: Vec<String>,
    place: &Place,
    wanted: usize,
    named: bool,
    found: &mut Vec<Unfolded>,
) -> Result<(), &'static str> {
    match value {
        Value::List(values) => {
            values.into_iter().try_for_each(|value| unfold(value, labels.clone(), place, wanted, named, found))
        }
        Value::Block(entries) => {
            let name = |entry: &Entry| matches!(entry.value, Value::Block(_) | Value::List(_)) && entry.key != NO_NAME;
            let nested = !entries.is_empty() && entries.iter().all(name);
            if labels.len() < wanted || (named && labels.len() == wanted && nested) {
                return entries.into_iter().try_for_each(|entry| {
                    let mut labels = labels.clone();
                    labels.push(entry.key);
                    labels.extend(entry.labels);
                    unfold(entry.value, labels, &entry.place, wanted, named, found)
                });
            }
            if labels.len() > wanted + usize::from(named) {
                return Err("has too many labels");
            }
            found.push((labels, place.clone(), entries));
            Ok(())
        }
        _ => Err("must be a stanza in braces"),
    }
}
