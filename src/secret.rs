//! Secret bytes and text: wiped when dropped, and shown to nobody by accident.
//!
//! Neither type has `Debug`, `Display`, `Clone`, `Serialize` or `Deref`: a secret that would reach a log line
//! or an error text does not compile. Whoever needs the content calls `expose()`; a test holds the list of
//! files that may.

use zeroize::Zeroizing;

/// Bytes that are secret: a value, a request body, a key share, an answer.
pub struct SecretBytes(Vec<u8>);

impl SecretBytes {
    /// Takes ownership of `bytes`; they are wiped when this value is dropped.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Takes a buffer that wipes itself already.
    pub fn from_wiping(mut bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(std::mem::take(&mut *bytes))
    }

    /// The opposite: for what must have a `Vec`.
    pub(crate) fn into_wiping(mut self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(std::mem::take(&mut self.0))
    }

    /// None yet, and room for so many.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// Appends, and wipes the old buffer when it has to grow: `Vec` would free it as it is.
    #[inline]
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        if self.0.capacity() - self.0.len() < bytes.len() {
            self.grow(bytes.len());
        }
        self.0.extend_from_slice(bytes);
    }

    #[cold]
    fn grow(&mut self, more: usize) {
        let mut larger = Self::with_capacity((self.len() + more).next_power_of_two() * 2);
        larger.0.extend_from_slice(&self.0);
        *self = larger;
    }

    /// Only the first `length` are left. Those behind are wiped with the buffer.
    pub(crate) fn truncate(&mut self, length: usize) {
        self.0.truncate(length);
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

impl Drop for SecretBytes {
    /// Wipes all of the buffer, also what is behind its end. `Zeroizing` stores byte by byte, which takes longer than all else that is
    /// done with a large answer; here it is filled at once, and the barrier keeps the compiler from leaving that out.
    fn drop(&mut self) {
        self.0.clear();
        self.0.resize(self.0.capacity(), 0);
        zeroize::optimization_barrier(self.0.as_slice());
    }
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
