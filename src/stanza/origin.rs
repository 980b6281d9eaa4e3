//! Values that stand elsewhere: what must not be in a file is in the environment or in a file of its own. Written as a call,
//! `env("NAME")` or `file("path")`, or as `bao` writes it in either syntax: `{ eval_source = "env", env_var = "NAME" }`.

use std::path::PathBuf;

use super::place::{FileError, Place, Setting};
use super::{Entry, Stanza, Value};
use crate::secret::SecretText;
use crate::tree::Tree;

/// Where a value is.
pub struct Origin {
    /// The environment, or a file.
    pub whence: Whence,
    shape: Shape,
    setting: Setting,
}

/// A place outside of the file.
#[derive(Debug)]
pub enum Whence {
    /// A variable of the environment.
    Environment(String),
    /// A file; relative ones are meant from the folder of the file that names it.
    File(PathBuf),
}

/// What the text found there is read as.
#[derive(Clone, Copy)]
enum Shape {
    Text,
    Integer,
    Boolean,
}

const SHAPES: [(&str, Shape); 3] = [("string", Shape::Text), ("int", Shape::Integer), ("bool", Shape::Boolean)];

/// Who finds what is elsewhere. An error is a half sentence without values.
pub type LookUp<'a> = dyn Fn(&Whence) -> Result<SecretText, String> + 'a;

impl Origin {
    /// `env("NAME")`, `file("path")`; none for any other call.
    pub(super) fn of_call(function: &str, argument: &str, place: &Place) -> Option<Self> {
        let whence = match function {
            "env" => Whence::Environment(argument.to_owned()),
            "file" => Whence::file(argument, place),
            _ => return None,
        };
        let setting = Setting { place: place.clone(), key: function.to_owned() };
        Some(Self { whence, shape: Shape::Text, setting })
    }

    fn of_stanza(mut stanza: Stanza) -> Result<Self, FileError> {
        let shape = stanza.word("eval_type", &SHAPES)?.unwrap_or(Shape::Text);
        let setting = stanza.setting("eval_source", &stanza.place);
        let source = stanza.text("eval_source")?.map(|(source, _)| source);
        let whence = match source.as_deref() {
            Some("env") => {
                // Always: a secret that is empty by mistake is worse than a run that stops.
                stanza.boolean("require_present")?;
                stanza.text("env_var")?.map(|(name, _)| Whence::Environment(name))
            }
            Some("file") => stanza.text("path")?.map(|(path, setting)| Whence::file(&path, &setting.place)),
            _ => return Err(setting.wrong("only \"env\" and \"file\" are offered")),
        };
        let whence = whence.ok_or_else(|| setting.wrong("needs env_var (for \"env\") or path (for \"file\")"))?;
        stanza.finish()?;
        Ok(Self { whence, shape, setting })
    }

    fn tree(&self, look_up: &LookUp<'_>) -> Result<Tree, FileError> {
        let text = look_up(&self.whence).map_err(|problem| self.setting.wrong(problem))?;
        match self.shape {
            Shape::Text => Ok(Tree::Text(text)),
            Shape::Integer => {
                let number = text.expose().trim().parse::<i64>();
                number.map(|number| Tree::Number(number.into())).map_err(|_| self.setting.wrong("holds no whole number"))
            }
            Shape::Boolean => {
                text.expose().trim().parse().map(Tree::Boolean).map_err(|_| self.setting.wrong("holds neither true nor false"))
            }
        }
    }
}

impl Whence {
    fn file(path: &str, place: &Place) -> Self {
        Self::File(place.file.parent().map_or_else(|| PathBuf::from(path), |folder| folder.join(path)))
    }
}

impl Value {
    /// Checks what is inside, to any depth: no labels, no name twice. Blocks with `eval_source` become what they stand for.
    pub(crate) fn checked(self) -> Result<Self, FileError> {
        match self {
            Self::List(values) => values.into_iter().map(Self::checked).collect::<Result<_, _>>().map(Self::List),
            Self::Block(entries) => match entries.iter().find(|entry| entry.key == "eval_source") {
                Some(entry) => {
                    let place = entry.place.clone();
                    Origin::of_stanza(Stanza::new(String::new(), place, entries)).map(Self::Origin)
                }
                None => checked_entries(entries).map(Self::Block),
            },
            plain => Ok(plain),
        }
    }

    /// True when it, or a part of it, stands elsewhere.
    pub(crate) fn has_origin(&self) -> bool {
        match self {
            Self::Origin(_) => true,
            Self::List(values) => values.iter().any(Self::has_origin),
            Self::Block(entries) => entries.iter().any(|entry| entry.value.has_origin()),
            Self::Text(_) | Self::Number(_) | Self::Boolean(_) => false,
        }
    }

    /// With what stands elsewhere filled in.
    pub(crate) fn tree(&self, look_up: &LookUp<'_>) -> Result<Tree, FileError> {
        Ok(match self {
            Self::Text(text) => Tree::text(text.expose()),
            // What is no number of JSON stays a text: the server judges it.
            Self::Number(number) => serde_json::from_str(number).map_or_else(|_| Tree::text(number), Tree::Number),
            Self::Boolean(value) => Tree::Boolean(*value),
            Self::List(values) => Tree::List(values.iter().map(|value| value.tree(look_up)).collect::<Result<_, _>>()?),
            Self::Block(entries) => {
                let member = |entry: &Entry| Ok((entry.key.clone(), entry.value.tree(look_up)?));
                Tree::Map(entries.iter().map(member).collect::<Result<_, FileError>>()?)
            }
            Self::Origin(origin) => origin.tree(look_up)?,
        })
    }
}

/// No labels, no name twice.
pub(crate) fn checked_entries(entries: Vec<Entry>) -> Result<Vec<Entry>, FileError> {
    let mut checked: Vec<Entry> = Vec::with_capacity(entries.len());
    for entry in entries {
        let setting = Setting { place: entry.place.clone(), key: entry.key.clone() };
        if !entry.labels.is_empty() {
            return Err(setting.wrong("takes no label here"));
        }
        if let Some(first) = checked.iter().find(|known| known.key == entry.key) {
            return Err(setting.wrong(format!("is already set in {}", first.place)));
        }
        checked.push(Entry { value: entry.value.checked()?, ..entry });
    }
    Ok(checked)
}
