//! What can be asked of an engine that keeps one JSON object for each path: the typed operations, and their parse.
//! Pure and total. Paths are those of objects, without a slash at the end; directories have one, or are empty.

use super::listing::{Page, directory};
use super::table::{Call, Field, Verb};
use crate::answer::Refusal;
use crate::secret::SecretBytes;

/// One operation.
pub enum Operation {
    /// The object at a path.
    Read(String),
    /// This object, instead of what was there.
    Write(String, SecretBytes),
    /// Nothing at a path any more.
    Delete(String),
    /// The names in a directory.
    List(String, Page),
    /// The paths of all objects below a directory.
    Scan(String, Page),
}

/// The body is the object.
pub const ANY: &[Field] = &[Field { name: "*", kind: "any", help: "The object: any fields." }];

/// Of a row for `:path*`.
pub fn read(call: &Call<'_>) -> Result<Operation, Refusal> {
    Ok(Operation::Read(path(call)?))
}

/// Of a row for `:path*`.
pub fn write(call: &Call<'_>) -> Result<Operation, Refusal> {
    let path = path(call)?;
    let value = call.fields.whole().ok_or_else(|| Refusal::invalid("missing data fields"))?;
    Ok(Operation::Write(path, value))
}

/// Of a row for `:path*`.
pub fn delete(call: &Call<'_>) -> Result<Operation, Refusal> {
    Ok(Operation::Delete(path(call)?))
}

/// Of a row for `:path*`.
pub fn list(call: &Call<'_>) -> Result<Operation, Refusal> {
    Ok(Operation::List(directory(call.captures.get(0)), Page::parse(call.query)?))
}

/// Of a row for `:path*`.
pub fn scan(call: &Call<'_>) -> Result<Operation, Refusal> {
    Ok(Operation::Scan(directory(call.captures.get(0)), Page::parse(call.query)?))
}

/// The path of an object that a call names, if it can be one.
pub fn named<'a>(call: &Call<'a>) -> Option<&'a str> {
    Some(call.captures.get(0)).filter(|path| !path.is_empty() && !path.ends_with('/'))
}

fn path(call: &Call<'_>) -> Result<String, Refusal> {
    match (named(call), call.verb) {
        (Some(path), _) => Ok(path.to_owned()),
        (None, Verb::Write) if call.captures.get(0).is_empty() => Err(Refusal::invalid("missing path")),
        (None, Verb::Write) => Err(Refusal::invalid("cannot write to a path ending in '/'")),
        _ => Err(Refusal::NotFound),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::table::Captures;
    use crate::fields::{Fields, Query};
    use crate::path::Path;

    fn parse(
        verb: Verb,
        path: &str,
        body: &str,
        parse: fn(&Call<'_>) -> Result<Operation, Refusal>,
    ) -> Result<Operation, Refusal> {
        let path = Path::new(path).unwrap();
        let query = Query::parse("after=a&limit=3").unwrap();
        let fields = Fields::parse(body.as_bytes(), None)?;
        let captures = crate::engine::table::capture(":path*", path.as_str()).unwrap_or_default();
        assert_ne!(captures, Captures::default(), "{path}");
        parse(&Call { verb, path: &path, captures, query: &query, fields: &fields })
    }

    #[test]
    fn the_body_is_the_object() {
        for (body, object) in [
            (r#"{"a": 1.50, "b":{"c":[null]}, "d":null}"#, r#"{"a":1.50,"b":{"c":[null]},"d":null}"#),
            ("x=1&y=z", r#"{"x":"1","y":"z"}"#),
        ] {
            let Ok(Operation::Write(path, value)) = parse(Verb::Write, "a/b", body, write) else { panic!("{body}") };
            assert_eq!((path.as_str(), value.expose()), ("a/b", object.as_bytes()));
        }
        for body in ["", "{}", " "] {
            assert!(matches!(parse(Verb::Write, "a", body, write), Err(Refusal::Invalid(text)) if text == "missing data fields"));
        }
    }

    #[test]
    fn directories_are_listed_and_nothing_else() {
        assert!(matches!(parse(Verb::Write, "a/", r#"{"x":1}"#, write), Err(Refusal::Invalid(_))));
        assert!(matches!(parse(Verb::Read, "a/", "", read), Err(Refusal::NotFound)));
        assert!(matches!(parse(Verb::Delete, "a/", "", delete), Err(Refusal::NotFound)));
        let page = Page { after: "a".to_owned(), limit: Some(3) };
        for path in ["a/b", "a/b/"] {
            assert!(matches!(parse(Verb::List, path, "", list), Ok(Operation::List(of, with)) if of == "a/b/" && with == page));
        }
    }
}
