//! What one server answers that does one thing at a time.

use stateright::semantics::SequentialSpec;

/// A secret of KV 2 whose versions are checked and set.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Secret {
    version: u64,
    /// None before the first version, and when the newest is deleted.
    value: Option<u64>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum SecretOperation {
    /// If the newest version is this one.
    Write {
        version: u64,
        value: u64,
    },
    Read,
    /// The newest version.
    Delete,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum SecretAnswer {
    Written {
        version: u64,
    },
    /// Another version is the newest.
    Mismatch,
    Found {
        version: u64,
        value: u64,
    },
    /// 0 before the first.
    Gone {
        version: u64,
    },
    Deleted,
}

impl SequentialSpec for Secret {
    type Op = SecretOperation;
    type Ret = SecretAnswer;

    fn invoke(&mut self, operation: &SecretOperation) -> SecretAnswer {
        match *operation {
            SecretOperation::Write { version, .. } if version != self.version => SecretAnswer::Mismatch,
            SecretOperation::Write { value, .. } => {
                (self.version, self.value) = (self.version + 1, Some(value));
                SecretAnswer::Written { version: self.version }
            }
            SecretOperation::Read => match self.value {
                Some(value) => SecretAnswer::Found { version: self.version, value },
                None => SecretAnswer::Gone { version: self.version },
            },
            SecretOperation::Delete => {
                self.value = None;
                SecretAnswer::Deleted
            }
        }
    }
}

/// A token that may be used so often.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) uses_left: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum TokenOperation {
    Use,
    Revoke,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum TokenAnswer {
    Used { left: u64 },
    Refused,
    Revoked,
}

impl SequentialSpec for Token {
    type Op = TokenOperation;
    type Ret = TokenAnswer;

    fn invoke(&mut self, operation: &TokenOperation) -> TokenAnswer {
        match operation {
            TokenOperation::Use if self.uses_left == 0 => TokenAnswer::Refused,
            TokenOperation::Use => {
                self.uses_left -= 1;
                TokenAnswer::Used { left: self.uses_left }
            }
            TokenOperation::Revoke => {
                self.uses_left = 0;
                TokenAnswer::Revoked
            }
        }
    }
}
