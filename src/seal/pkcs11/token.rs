//! One token of a PKCS #11 module: found, signed in to, and its keys found in it. Everything blocks, and is done by one thread.
//! What is found is kept until a call fails; then everything is looked for again.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Function, Pkcs11 as Module};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::{AuthPin, Ulong};
use data_encoding::HEXLOWER;
use zeroize::Zeroizing;

use super::super::Failure;
use super::codes::{Problem, VAGUE, is_stale, judged};
use crate::config::{Pin, Pkcs11 as Settings, TokenChoice};
use crate::random;
use crate::secret::{SecretBytes, SecretText};

/// The first byte of a wrap: AES-GCM with a nonce of 96 bits and a tag of 128.
const FORMAT: u8 = 1;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
const TAG_BITS: u64 = 8 * TAG_BYTES as u64;

/// How a key is found in a token.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KeyName {
    pub(super) label: Option<String>,
    pub(super) id: Option<Vec<u8>>,
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label = self.label.as_ref().map(|label| format!("label {label}"));
        let id = self.id.as_ref().map(|id| format!("id 0x{}", HEXLOWER.encode(id)));
        f.write_str(&[label, id].into_iter().flatten().collect::<Vec<_>>().join(" and "))
    }
}

/// A token, and how far we are with it.
pub(super) struct Token {
    seal: String,
    library: PathBuf,
    choice: Choice,
    pin: PinSource,
    module: Option<Module>,
    session: Option<Session>,
    keys: BTreeMap<KeyName, ObjectHandle>,
    /// Not tried again: a token locks itself after a few wrong ones.
    wrong_pin: Option<Arc<SecretText>>,
}

enum Choice {
    Slot(u64),
    Label(String),
}

enum PinSource {
    Text(Arc<SecretText>),
    File(PathBuf),
}

impl Token {
    pub(super) fn new(seal: String, settings: &Settings) -> Self {
        let choice = match &settings.token {
            TokenChoice::Slot(slot) => Choice::Slot(*slot),
            TokenChoice::Label(label) => Choice::Label(label.clone()),
        };
        let pin = match &settings.pin {
            Pin::Text(pin) => PinSource::Text(Arc::clone(pin)),
            Pin::File(file) => PinSource::File(file.path.clone()),
        };
        let library = settings.library.path.clone();
        Self { seal, library, choice, pin, module: None, session: None, keys: BTreeMap::new(), wrong_pin: None }
    }

    pub(super) fn wrap(&mut self, key: &KeyName, plaintext: &SecretBytes, bound: &[u8]) -> Result<Vec<u8>, Failure> {
        let sealed = self.with_key(key, |session, key| {
            let mut nonce: [u8; NONCE_BYTES] = random::bytes();
            let parameters = GcmParams::new(&mut nonce, bound, Ulong::from(TAG_BITS))?;
            let ciphertext = session.encrypt(&Mechanism::AesGcm(parameters), key, plaintext.expose())?;
            // Some modules choose the nonce, and write it back.
            Ok([&[FORMAT], &nonce[..], &ciphertext].concat())
        })?;
        let length = 1 + NONCE_BYTES + plaintext.len() + TAG_BYTES;
        if sealed.len() == length {
            Ok(sealed)
        } else {
            Err(Failure::Away("the module gave no ciphertext of AES-GCM".to_owned()))
        }
    }

    pub(super) fn unwrap(&mut self, key: &KeyName, wrap: &[u8], bound: &[u8]) -> Result<SecretBytes, Failure> {
        let parts = wrap.split_first().filter(|(format, _)| **format == FORMAT);
        let parts = parts.and_then(|(_, rest)| rest.split_first_chunk::<NONCE_BYTES>());
        let Some((nonce, ciphertext)) = parts.filter(|(_, ciphertext)| ciphertext.len() > TAG_BYTES) else {
            return Err(Failure::Unfit);
        };
        let opened = self.with_key(key, |session, key| match decrypt(session, key, (nonce, ciphertext), bound) {
            Err(Error::Pkcs11(code, Function::Decrypt)) if VAGUE.contains(&code) => Ok(Err(code)),
            opened => opened.map(Ok),
        })?;
        let opened = match opened {
            Ok(opened) => opened,
            Err(code) => return Err(self.told_by_another(key, code)),
        };
        if opened.len() == ciphertext.len() - TAG_BYTES {
            Ok(opened)
        } else {
            Err(Failure::Away("the module gave another length".to_owned()))
        }
    }

    /// Some modules have no code of their own for a ciphertext that is not the key's: whether it is that, or the module does not
    /// work, shows in one that is.
    fn told_by_another(&mut self, key: &KeyName, code: RvError) -> Failure {
        // An operation may be half done in it.
        (self.session, self.keys) = (None, BTreeMap::new());
        let away = || Failure::Away(format!("{code:?} of Decrypt"));
        let nothing = SecretBytes::new(vec![0; 32]);
        let Ok(wrap) = self.wrap(key, &nothing, b"") else { return away() };
        let nonce_and_more = wrap.get(1..).and_then(|rest| rest.split_first_chunk::<NONCE_BYTES>());
        let Some((nonce, ciphertext)) = nonce_and_more else { return away() };
        match self.with_key(key, |session, key| decrypt(session, key, (nonce, ciphertext), b"")) {
            Ok(opened) if opened.expose() == nothing.expose() => Failure::Unfit,
            _ => away(),
        }
    }

    /// Does it with the key; once more when the session or what was found has gone meanwhile.
    fn with_key<T>(&mut self, key: &KeyName, does: impl Fn(&Session, ObjectHandle) -> Result<T, Error>) -> Result<T, Failure> {
        let kept = self.session.is_some();
        match self.try_with_key(key, &does) {
            Err(error) if kept && is_stale(&error) => self.try_with_key(key, &does),
            done => done,
        }
        .map_err(|problem| match problem {
            Problem::Ours(failure) => failure,
            Problem::Theirs(error) => judged(&error),
        })
    }

    fn try_with_key<T>(
        &mut self,
        key: &KeyName,
        does: impl Fn(&Session, ObjectHandle) -> Result<T, Error>,
    ) -> Result<T, Problem> {
        let done = self.session().and_then(|()| {
            let handle = self.find(key)?;
            let session = self.session.as_ref().ok_or_else(|| Problem::Ours(Failure::Away("no session".to_owned())))?;
            Ok(does(session, handle)?)
        });
        if done.is_err() {
            // An operation may be half done in it.
            self.keys.clear();
            self.session = None;
        }
        done
    }

    /// Makes sure of a session that is signed in.
    fn session(&mut self) -> Result<(), Problem> {
        if self.session.is_some() {
            return Ok(());
        }
        let module = self.module()?;
        let slot = self.slot(&module)?;
        let pin = self.pin()?;
        let info = module.get_token_info(slot)?;
        let refused = |text: &str| Err(Problem::Ours(Failure::Refused(text.to_owned())));
        if info.user_pin_locked() {
            return refused("the token has locked its PIN (CKR_PIN_LOCKED)");
        }
        if self.wrong_pin.as_ref().is_some_and(|wrong| wrong.expose() == pin.expose()) {
            return refused("the PIN is wrong (CKR_PIN_INCORRECT), and not tried again: the token would lock it");
        }
        if info.user_pin_final_try() {
            return refused("the token locks its PIN at the next wrong one: sign in with its own tools once, then start again");
        }
        let session = module.open_ro_session(slot)?;
        match session.login(UserType::User, Some(&AuthPin::new(pin.expose().into()))) {
            // Another seal has the same token, or this one had a session before.
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
            Err(error) => {
                if matches!(error, Error::Pkcs11(RvError::PinIncorrect | RvError::PinLenRange | RvError::PinInvalid, _)) {
                    self.wrong_pin = Some(pin);
                }
                return Err(error.into());
            }
        }
        self.session = Some(session);
        Ok(())
    }

    fn module(&mut self) -> Result<Module, Problem> {
        if let Some(module) = &self.module {
            return Ok(module.clone());
        }
        let module = Module::new(&self.library)?;
        match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            // Another seal uses the same module.
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => return Err(error.into()),
        }
        self.module = Some(module.clone());
        Ok(module)
    }

    fn slot(&self, module: &Module) -> Result<Slot, Problem> {
        let wanted = match &self.choice {
            Choice::Slot(id) => return Ok(Slot::try_from(*id)?),
            Choice::Label(label) => label,
        };
        let mut others = Vec::new();
        for slot in module.get_slots_with_initialized_token()? {
            let info = module.get_token_info(slot)?;
            if info.label() == wanted {
                return Ok(slot);
            }
            others.push(info.label().to_owned());
        }
        Err(Problem::Ours(if others.is_empty() {
            Failure::Away("the module has no token".to_owned())
        } else {
            Failure::Refused(format!("the module has no token with the label {wanted}; it has {}", others.join(", ")))
        }))
    }

    fn pin(&self) -> Result<Arc<SecretText>, Problem> {
        let file = match &self.pin {
            PinSource::Text(pin) => return Ok(Arc::clone(pin)),
            PinSource::File(file) => file,
        };
        let text = std::fs::read_to_string(file).map(Zeroizing::new);
        let text = text.map_err(|error| Problem::Ours(Failure::Away(format!("pin_file {}: {error}", file.display()))))?;
        Ok(Arc::new(SecretText::new(text.trim_end_matches(['\r', '\n']).to_owned())))
    }

    /// The one AES key of that name.
    fn find(&mut self, key: &KeyName) -> Result<ObjectHandle, Problem> {
        if let Some(handle) = self.keys.get(key) {
            return Ok(*handle);
        }
        let Some(session) = &self.session else { return Err(Problem::Ours(Failure::Away("no session".to_owned()))) };
        let mut template = vec![Attribute::Class(ObjectClass::SECRET_KEY), Attribute::KeyType(KeyType::AES)];
        template.extend(key.label.as_ref().map(|label| Attribute::Label(label.clone().into_bytes())));
        template.extend(key.id.as_ref().map(|id| Attribute::Id(id.clone())));
        let found = session.find_objects(&template)?;
        let [handle] = found.as_slice() else {
            let problem = match found.len() {
                0 => format!("the token has no AES key with {key}"),
                count => format!("the token has {count} AES keys with {key}: name both key_label and key_id"),
            };
            return Err(Problem::Ours(Failure::Refused(problem)));
        };
        if session.get_attributes(*handle, &[AttributeType::Extractable])?.contains(&Attribute::Extractable(true)) {
            tracing::warn!(seal = self.seal, key = %key, "this key can be taken out of its token (CKA_EXTRACTABLE)");
        }
        self.keys.insert(key.clone(), *handle);
        Ok(*handle)
    }
}

fn decrypt(
    session: &Session,
    key: ObjectHandle,
    (nonce, ciphertext): (&[u8; NONCE_BYTES], &[u8]),
    bound: &[u8],
) -> Result<SecretBytes, Error> {
    let mut nonce = *nonce;
    let parameters = GcmParams::new(&mut nonce, bound, Ulong::from(TAG_BITS))?;
    session.decrypt(&Mechanism::AesGcm(parameters), key, ciphertext).map(SecretBytes::new)
}
