//! Secret bytes and text: wiped when dropped, and shown to nobody by accident.
//!
//! Neither type has `Debug`, `Display`, `Clone`, `Serialize` or `Deref`: a secret that would reach a log line
//! or an error text does not compile. Whoever needs the content calls `expose()`; a test holds the list of
//! files that may.

use zeroize::Zeroizing;

/// Bytes that are secret: a value, a request body, a key share.
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// Takes ownership of `bytes`; they are wiped when this value is dropped.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Takes a buffer that wipes itself already.
    pub fn from_wiping(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    /// The bytes themselves, for as short a time as possible.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when there is no byte.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A second copy, wiped on its own. Named, so that copies can be found by reading.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self(self.0.clone())
    }
}

/// Appends, and wipes the old buffer when it has to grow: `Vec` would free it as it is.
#[inline]
pub(crate) fn append(buffer: &mut Zeroizing<Vec<u8>>, bytes: &[u8]) {
    if buffer.capacity() - buffer.len() < bytes.len() {
        grow(buffer, bytes.len());
    }
    buffer.extend_from_slice(bytes);
}

#[cold]
fn grow(buffer: &mut Zeroizing<Vec<u8>>, more: usize) {
    let mut larger = Zeroizing::new(Vec::with_capacity((buffer.len() + more).next_power_of_two() * 2));
    larger.extend_from_slice(buffer);
    *buffer = larger;
}

/// Text that is secret: a token, a field of a request.
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Takes ownership of `text`; it is wiped when this value is dropped.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself, for as short a time as possible.
    pub fn expose(&self) -> &str {
        &self.0
    }
}
