//! The two spellings of a policy, HCL and JSON, read into one shape. What a key means is `parse`'s.

use hcl_edit::Span;
use hcl_edit::expr::{Expression, ObjectKey, ObjectValue};
use hcl_edit::structure::{Block, Body, Structure};

use super::parse::{PolicyError, line_text};
use crate::answer::Refusal;
use crate::fields::Fields;

/// One `path` block.
pub(super) struct PathBlock {
    /// Counted from 1; 0 in JSON.
    pub(super) line: usize,
    /// As it is written.
    pub(super) path: String,
    /// In order; HCL's may repeat a name.
    pub(super) members: Vec<(String, Value)>,
}

/// A value of either syntax. Policies are no secrets, so a tree of plain strings will do.
pub(super) enum Value {
    Text(String),
    /// A number or boolean, as text.
    Plain(String),
    List(Vec<Value>),
    Object(Vec<(String, Value)>),
}

/// The `path` blocks of an HCL text, in order.
pub(super) fn hcl(text: &str) -> Result<Vec<PathBlock>, PolicyError> {
    let body: Body = hcl_edit::parser::parse_body(text)
        .map_err(|error| PolicyError::Syntax(format!("line {}: {}", error.location().line(), error.message())))?;
    let mut lines = Lines { at: 0, line: 1 };
    let mut paths = Vec::new();
    for structure in &body {
        let line = structure.span().map_or(0, |span| lines.advance(text, span.start));
        match structure {
            Structure::Attribute(attribute) if attribute.key.as_str() == "name" => {}
            Structure::Block(block) if block.ident.as_str() == "path" => {
                let [label] = block.labels.as_slice() else {
                    return Err(PolicyError::Syntax(format!("line {line}: \"path\" takes exactly one pattern")));
                };
                let path = label.as_str().to_owned();
                match hcl_members(block) {
                    Ok(members) => paths.push(PathBlock { line, path, members }),
                    Err(reason) => return Err(PolicyError::Rule { line, path, reason }),
                }
            }
            Structure::Attribute(attribute) => return Err(unknown_at_top(line, attribute.key.as_str())),
            Structure::Block(block) => return Err(unknown_at_top(line, block.ident.as_str())),
        }
    }
    Ok(paths)
}

fn unknown_at_top(line: usize, key: &str) -> PolicyError {
    PolicyError::Syntax(format!("{}invalid key {key:?}: a policy consists of \"path\" blocks", line_text(line)))
}

/// Line numbers of rising positions, without counting from the start each time.
struct Lines {
    at: usize,
    line: usize,
}

impl Lines {
    fn advance(&mut self, text: &str, to: usize) -> usize {
        self.line += text.get(self.at..to).unwrap_or_default().matches('\n').count();
        self.at = self.at.max(to);
        self.line
    }
}

fn hcl_members(block: &Block) -> Result<Vec<(String, Value)>, String> {
    let member = |structure: &Structure| match structure {
        Structure::Attribute(attribute) => Ok((attribute.key.to_string(), hcl_value(&attribute.value)?)),
        // The older form, `allowed_parameters { name = [..] }`.
        Structure::Block(inner) if inner.labels.is_empty() => {
            let members = inner.body.attributes().map(|attribute| Ok((attribute.key.to_string(), hcl_value(&attribute.value)?)));
            Ok((inner.ident.to_string(), Value::Object(members.collect::<Result<_, String>>()?)))
        }
        Structure::Block(inner) => Err(format!("invalid key {:?}", inner.ident.as_str())),
    };
    block.body.iter().map(member).collect()
}

fn hcl_value(expression: &Expression) -> Result<Value, String> {
    Ok(match expression {
        Expression::String(text) => Value::Text(text.value().clone()),
        Expression::Number(number) => Value::Plain(number.value().to_string()),
        Expression::Bool(value) => Value::Plain(value.value().to_string()),
        Expression::Array(items) => Value::List(items.iter().map(hcl_value).collect::<Result<_, _>>()?),
        Expression::Object(members) => {
            let member = |(key, value): (&ObjectKey, &ObjectValue)| {
                let name = match key {
                    ObjectKey::Ident(ident) | ObjectKey::Expression(Expression::Variable(ident)) => ident.to_string(),
                    ObjectKey::Expression(Expression::String(text)) => text.value().clone(),
                    ObjectKey::Expression(_) => return Err("a name must be a plain word or string".to_owned()),
                };
                Ok((name, hcl_value(value.expr())?))
            };
            Value::Object(members.iter().map(member).collect::<Result<_, _>>()?)
        }
        _ => return Err("values must be plain strings, numbers, booleans, lists or objects, without expressions".to_owned()),
    })
}

/// The `path` blocks of a JSON text.
pub(super) fn json(text: &str) -> Result<Vec<PathBlock>, PolicyError> {
    let malformed = || PolicyError::Syntax("the JSON form is {\"path\": {\"<pattern>\": {..}}}".to_owned());
    // The limits on depth and duplicate names are those of request bodies.
    let top = Fields::parse(text.as_bytes(), None).map_err(|refusal| match refusal {
        Refusal::Invalid(reason) => PolicyError::Syntax(reason),
        _ => PolicyError::Syntax("not JSON".to_owned()),
    })?;
    if let Some(key) = top.names().find(|name| !matches!(*name, "name" | "path")) {
        return Err(unknown_at_top(0, key));
    }
    let Some(raw) = top.raw("path") else { return Ok(Vec::new()) };
    let blocks = match serde_json::from_str(raw.get()).map(Value::of_json).map_err(|_| malformed())? {
        Value::List(blocks) => blocks,
        one => vec![one],
    };
    let mut paths = Vec::new();
    for block in blocks {
        let Value::Object(members) = block else { return Err(malformed()) };
        for (path, rule) in members {
            let Value::Object(members) = rule else {
                return Err(PolicyError::Rule { line: 0, path, reason: "expected an object".to_owned() });
            };
            paths.push(PathBlock { line: 0, path, members });
        }
    }
    Ok(paths)
}

impl Value {
    fn of_json(json: serde_json::Value) -> Self {
        match json {
            serde_json::Value::String(text) => Self::Text(text),
            serde_json::Value::Array(items) => Self::List(items.into_iter().map(Self::of_json).collect()),
            serde_json::Value::Object(members) => {
                Self::Object(members.into_iter().map(|(name, value)| (name, Self::of_json(value))).collect())
            }
            plain => Self::Plain(plain.to_string()),
        }
    }

    /// A string, number or boolean, as text.
    pub(super) fn scalar(self, what: &str) -> Result<String, String> {
        match self {
            Self::Text(text) | Self::Plain(text) => Ok(text),
            Self::List(_) | Self::Object(_) => Err(format!("{what} must be a string")),
        }
    }

    /// A list of those.
    pub(super) fn texts(self, what: &str) -> Result<Vec<String>, String> {
        let Self::List(items) = self else { return Err(format!("{what} must be a list of strings")) };
        items.into_iter().map(|item| item.scalar(&format!("an item of {what}"))).collect()
    }
}
