//! What the codes of a PKCS #11 module mean: no, not now, or not this ciphertext.

use cryptoki::error::{Error, RvError};

use super::super::Failure;

/// What modules answer to a ciphertext that is not the key's, and to other things.
pub(super) const VAGUE: [RvError; 5] =
    [RvError::GeneralError, RvError::FunctionFailed, RvError::DataInvalid, RvError::DataLenRange, RvError::ArgumentsBad];

/// Why something was not done.
pub(super) enum Problem {
    /// We will not.
    Ours(Failure),
    /// The module says so.
    Theirs(Error),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::Theirs(error)
    }
}

/// What we hold is of a session or key that is no more: worth one more try.
pub(super) fn is_stale(problem: &Problem) -> bool {
    use RvError::{
        DeviceRemoved, KeyHandleInvalid, ObjectHandleInvalid, OperationActive, SessionClosed, SessionHandleInvalid,
        UserNotLoggedIn,
    };
    let Problem::Theirs(Error::Pkcs11(code, _)) = problem else { return false };
    let stale = [
        DeviceRemoved,
        KeyHandleInvalid,
        ObjectHandleInvalid,
        OperationActive,
        SessionClosed,
        SessionHandleInvalid,
        UserNotLoggedIn,
    ];
    stale.contains(code)
}

/// What the module's code means: no, not now, or not this ciphertext.
pub(super) fn judged(error: &Error) -> Failure {
    use RvError::{
        EncryptedDataInvalid, EncryptedDataLenRange, FunctionNotSupported, KeyFunctionNotPermitted, KeySizeRange,
        KeyTypeInconsistent, MechanismInvalid, MechanismParamInvalid, PinExpired, PinIncorrect, PinInvalid, PinLenRange,
        PinLocked, SlotIdInvalid, TokenNotRecognized, UserPinNotInitialized,
    };
    let refused = |text: String| Failure::Refused(text);
    match error {
        Error::Pkcs11(EncryptedDataInvalid | EncryptedDataLenRange, _) => Failure::Unfit,
        Error::Pkcs11(PinIncorrect | PinInvalid | PinLenRange, _) => refused("the PIN is wrong (CKR_PIN_INCORRECT)".to_owned()),
        Error::Pkcs11(PinLocked, _) => refused("the token has locked its PIN (CKR_PIN_LOCKED)".to_owned()),
        Error::Pkcs11(SlotIdInvalid, _) => refused("the module has no such slot (CKR_SLOT_ID_INVALID)".to_owned()),
        Error::Pkcs11(KeyFunctionNotPermitted, function) => {
            refused(format!("the key is not allowed to do that (CKR_KEY_FUNCTION_NOT_PERMITTED of {function:?})"))
        }
        Error::Pkcs11(
            code @ (FunctionNotSupported
            | KeySizeRange
            | KeyTypeInconsistent
            | MechanismInvalid
            | MechanismParamInvalid
            | PinExpired
            | TokenNotRecognized
            | UserPinNotInitialized),
            function,
        ) => refused(format!("{code:?} of {function:?}")),
        Error::Pkcs11(code, function) => Failure::Away(format!("{code:?} of {function:?}")),
        Error::LibraryLoading(error) => refused(format!("the library cannot be loaded: {error}")),
        Error::MissingSymbol(_) | Error::NotSupported | Error::NullFunctionPointer => {
            refused(format!("the library is no PKCS #11 module that can be used: {error}"))
        }
        other => Failure::Away(other.to_string()),
    }
}
