//! Writing JSON answers into buffers that wipe themselves.
//!
//! Answers may hold secrets, so they are never built as a tree of ordinary strings: fields are appended to one
//! buffer, and already serialised parts (a stored value) are spliced in as they are.

use serde::Serialize;

use crate::secret::SecretBytes;

/// A complete JSON text.
pub struct Json(SecretBytes);

impl Json {
    /// An object; `fill` appends its fields.
    pub fn object(fill: impl FnOnce(&mut Object<'_>)) -> Self {
        Self::object_of(512, fill)
    }

    /// An object of about `bytes`: a buffer that need not grow is not copied.
    pub fn object_of(bytes: usize, fill: impl FnOnce(&mut Object<'_>)) -> Self {
        let mut buffer = SecretBytes::with_capacity(bytes);
        write_object(&mut buffer, fill);
        Self(buffer)
    }

    /// Any serialisable value that is not secret.
    pub fn value(value: &(impl Serialize + ?Sized)) -> Self {
        let mut buffer = SecretBytes::with_capacity(128);
        write_value(&mut buffer, value);
        Self(buffer)
    }

    /// A list that grows.
    pub fn list() -> List {
        List { buffer: SecretBytes::new(b"[".to_vec()), first: true, end: b"]" }
    }

    /// An object whose only field is a list that grows, of about `bytes`.
    pub fn list_in(name: &str, bytes: usize) -> List {
        let mut buffer = SecretBytes::with_capacity(bytes);
        buffer.append(b"{");
        Object { buffer: &mut buffer, first: true }.raw(name, b"[");
        List { buffer, first: true, end: b"]}" }
    }

    /// Takes a text that is known to be JSON.
    pub fn from_text(text: Vec<u8>) -> Self {
        Self(SecretBytes::new(text))
    }

    /// The text.
    pub fn expose(&self) -> &[u8] {
        self.0.expose()
    }

    /// The buffer, to be stored or sent.
    pub fn into_secret(self) -> SecretBytes {
        self.0
    }
}

/// A list that is being written.
pub struct List {
    buffer: SecretBytes,
    first: bool,
    end: &'static [u8],
}

impl List {
    /// Appends an object.
    pub fn object(&mut self, fill: impl FnOnce(&mut Object<'_>)) {
        self.separate();
        write_object(&mut self.buffer, fill);
    }

    /// Appends what is already written.
    pub fn item(&mut self, json: &Json) {
        self.separate();
        self.buffer.append(json.expose());
    }

    fn separate(&mut self) {
        if !std::mem::take(&mut self.first) {
            self.buffer.append(b",");
        }
    }

    /// Bytes so far.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty: it begins with a bracket")]
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// The whole text.
    pub fn close(mut self) -> Json {
        self.buffer.append(self.end);
        Json(self.buffer)
    }
}

/// An object that is being written.
pub struct Object<'a> {
    buffer: &'a mut SecretBytes,
    first: bool,
}

impl Object<'_> {
    fn name(&mut self, name: &str) {
        if !std::mem::take(&mut self.first) {
            self.buffer.append(b",");
        }
        if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            // Nothing to escape, as in nearly all names.
            self.buffer.append(b"\"");
            self.buffer.append(name.as_bytes());
            self.buffer.append(b"\":");
        } else {
            write_value(self.buffer, name);
            self.buffer.append(b":");
        }
    }

    /// A field with any serialisable value.
    pub fn field(&mut self, name: &str, value: &(impl Serialize + ?Sized)) -> &mut Self {
        self.name(name);
        write_value(self.buffer, value);
        self
    }

    /// A field that is a list of strings.
    pub fn strings(&mut self, name: &str, values: &[impl AsRef<str>]) -> &mut Self {
        self.name(name);
        self.buffer.append(b"[");
        for (at, value) in values.iter().enumerate() {
            if at > 0 {
                self.buffer.append(b",");
            }
            write_value(self.buffer, value.as_ref());
        }
        self.buffer.append(b"]");
        self
    }

    /// A field whose value is already JSON.
    pub fn raw(&mut self, name: &str, json: &[u8]) -> &mut Self {
        self.name(name);
        self.buffer.append(json);
        self
    }

    /// A field that is `null`.
    pub fn null(&mut self, name: &str) -> &mut Self {
        self.raw(name, b"null")
    }

    /// A field that is an object.
    pub fn object(&mut self, name: &str, fill: impl FnOnce(&mut Object<'_>)) -> &mut Self {
        self.name(name);
        write_object(self.buffer, fill);
        self
    }

    /// All fields of an object that is already written, as if they were written here.
    pub fn splice(&mut self, object: &Json) -> &mut Self {
        let inner = object.expose().strip_prefix(b"{").and_then(|text| text.strip_suffix(b"}")).unwrap_or_default();
        if !inner.is_empty() {
            if !std::mem::take(&mut self.first) {
                self.buffer.append(b",");
            }
            self.buffer.append(inner);
        }
        self
    }
}

fn write_object(buffer: &mut SecretBytes, fill: impl FnOnce(&mut Object<'_>)) {
    buffer.append(b"{");
    fill(&mut Object { buffer, first: true });
    buffer.append(b"}");
}

struct Growing<'a>(&'a mut SecretBytes);

impl std::io::Write for Growing<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.append(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn write_value(buffer: &mut SecretBytes, value: &(impl Serialize + ?Sized)) {
    let before = buffer.len();
    if serde_json::to_writer(Growing(buffer), value).is_err() {
        // A map with keys that are not strings: a flaw of the caller, which must not become broken JSON.
        buffer.truncate(before);
        buffer.append(b"null");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_nest_and_splice() {
        let inner = Json::object(|o| {
            o.field("a", &1).strings("b", &["x", "y\""]);
        });
        let outer = Json::object(|o| {
            o.null("n").splice(&inner).object("deep", |d| {
                d.raw("r", b"[1,2]");
            });
        });
        let text = std::str::from_utf8(outer.expose()).unwrap();
        assert_eq!(text, r#"{"n":null,"a":1,"b":["x","y\""],"deep":{"r":[1,2]}}"#);
        let empty = Json::object(|o| {
            o.splice(&Json::object(|_| {}));
        });
        assert_eq!(empty.expose(), b"{}");
    }
}
