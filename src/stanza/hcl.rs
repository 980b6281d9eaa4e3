//! HCL text as entries.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use hcl_edit::Span;
use hcl_edit::expr::{Expression, ObjectKey};
use hcl_edit::structure::{Body, Structure};

use super::place::{FileError, Place};
use super::{Entry, Origin, Value};
use crate::secret::SecretText;

/// Reads HCL. Expressions (variables, functions, interpolation) are refused: a file holds values only, and says where others
/// are with `env(..)` and `file(..)`.
pub(super) fn entries(file: &Arc<PathBuf>, text: &str) -> Result<Vec<Entry>, FileError> {
    let body = hcl_edit::parser::parse_body(text).map_err(|error| FileError::Syntax {
        place: Place { file: Arc::clone(file), line: error.location().line() },
        // The parser's own form also shows the line, which may hold a password.
        problem: format!("not HCL: {}", one_line(error.message())),
    })?;
    Reader { file, text }.body(&body)
}

fn one_line(message: &str) -> String {
    message.lines().map(str::trim).collect::<Vec<_>>().join("; ")
}

struct Reader<'a> {
    file: &'a Arc<PathBuf>,
    text: &'a str,
}

impl Reader<'_> {
    fn place(&self, span: Option<Range<usize>>) -> Place {
        let start = span.map_or(0, |span| span.start);
        let before = self.text.get(..start).unwrap_or_default();
        Place { file: Arc::clone(self.file), line: before.matches('\n').count() + 1 }
    }

    fn body(&self, body: &Body) -> Result<Vec<Entry>, FileError> {
        body.iter().map(|structure| self.structure(structure)).collect()
    }

    fn structure(&self, structure: &Structure) -> Result<Entry, FileError> {
        match structure {
            Structure::Attribute(attribute) => {
                let place = self.place(attribute.key.span().or_else(|| attribute.span()));
                let value = self.value(&attribute.value, &place)?;
                Ok(Entry { key: attribute.key.to_string(), labels: Vec::new(), place, value })
            }
            Structure::Block(block) => Ok(Entry {
                key: block.ident.to_string(),
                labels: block.labels.iter().map(|label| label.as_str().to_owned()).collect(),
                place: self.place(block.ident.span().or_else(|| block.span())),
                value: Value::Block(self.body(&block.body)?),
            }),
        }
    }

    fn value(&self, expression: &Expression, place: &Place) -> Result<Value, FileError> {
        match expression {
            Expression::Bool(value) => Ok(Value::Boolean(*value.value())),
            Expression::Number(value) => Ok(Value::Number(value.value().to_string())),
            Expression::String(value) => Ok(Value::Text(SecretText::new(value.value().clone()))),
            Expression::HeredocTemplate(heredoc) => {
                let mut text = String::new();
                for element in &heredoc.template {
                    text.push_str(element.as_literal().ok_or_else(|| unsupported(place))?.value());
                }
                Ok(Value::Text(SecretText::new(text)))
            }
            Expression::FuncCall(call) => {
                let argument = match (call.args.len(), call.args.get(0)) {
                    (1, Some(Expression::String(argument))) if !call.name.is_namespaced() => argument.value(),
                    _ => return Err(unsupported(place)),
                };
                Origin::of_call(call.name.name.as_str(), argument, place).map(Value::Origin).ok_or_else(|| unsupported(place))
            }
            Expression::Array(array) => {
                array.iter().map(|item| self.value(item, place)).collect::<Result<_, _>>().map(Value::List)
            }
            Expression::Object(object) => {
                let mut entries = Vec::with_capacity(object.len());
                for (key, value) in object {
                    let name = match key {
                        ObjectKey::Ident(name) => name.to_string(),
                        ObjectKey::Expression(Expression::String(name)) => name.value().clone(),
                        ObjectKey::Expression(_) => return Err(unsupported(place)),
                    };
                    let place = self.place(value.expr().span());
                    let value = self.value(value.expr(), &place)?;
                    entries.push(Entry { key: name, labels: Vec::new(), place, value });
                }
                Ok(Value::Block(entries))
            }
            _ => Err(unsupported(place)),
        }
    }
}

fn unsupported(place: &Place) -> FileError {
    let problem = "only plain values are allowed, env(\"NAME\") and file(\"path\"): no variables, other functions or ${..} \
                   (write $${ for a literal ${)"
        .to_owned();
    FileError::Syntax { place: place.clone(), problem }
}
