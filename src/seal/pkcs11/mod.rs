//! The seal `pkcs11`: an AES key in a hardware security module (or in software with its interface), which never leaves it.
//!
//! Owns the thread that the module is called on (`token.rs`; what it answers: `codes.rs`; the end of the process: `gate.rs`): its functions block, and one that hangs must not
//! hang the server. A wrap is a format byte, a nonce of 12 bytes and what AES-GCM gave; what it is bound to is its associated data.
//! The module is foreign code in the server's process and memory: whoever names it in the configuration trusts it with everything.

mod codes;
pub mod gate;
mod token;

use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use async_trait::async_trait;
use tokio::sync::oneshot;

use super::{Failure, Seal, SealError, SetupError};
use crate::config::{Pkcs11 as Settings, TokenChoice};
use crate::crypto::WrapContext;
use crate::secret::SecretBytes;
use token::{KeyName, Token};

/// Calls that wait for the module's thread; one more is refused as an outage.
const CALLS_MAX: usize = 256;

/// A key in a security module.
pub struct Pkcs11 {
    name: String,
    key: KeyName,
    allowed_keys: Vec<String>,
    /// Which token, as text.
    token: String,
    calls: SyncSender<Call>,
}

/// One call, and where its answer goes.
struct Call {
    key: KeyName,
    does: Does,
    bound: Vec<u8>,
    answer: oneshot::Sender<Result<SecretBytes, Failure>>,
}

enum Does {
    Wrap(SecretBytes),
    Unwrap(Vec<u8>),
}

impl Pkcs11 {
    /// Starts the thread. The module is loaded by the first call.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn new(name: String, settings: &Settings) -> Result<Self, SetupError> {
        let (calls, waiting) = sync_channel(CALLS_MAX);
        let token = Token::new(name.clone(), settings);
        let thread = std::thread::Builder::new().name("pkcs11".to_owned()).spawn(move || serve(token, &waiting));
        thread.map_err(|error| SetupError { seal: name.clone(), problem: format!("no thread for it: {error}") })?;
        let token = match &settings.token {
            TokenChoice::Slot(slot) => format!("slot {slot}"),
            TokenChoice::Label(label) => format!("token {label}"),
        };
        let key = KeyName { label: settings.key_label.clone(), id: settings.key_id.clone() };
        Ok(Self { name, key, allowed_keys: settings.allowed_keys.clone(), token, calls })
    }

    async fn call(&self, does: Does, context: &WrapContext) -> Result<SecretBytes, SealError> {
        let (answer, answered) = oneshot::channel();
        let call = Call { key: self.key.clone(), does, bound: context.aad(), answer };
        let away = |reason: &str| Failure::Away(reason.to_owned());
        let answered = match self.calls.try_send(call) {
            Ok(()) => answered.await.unwrap_or_else(|_| Err(away("the module's thread has ended: restart the server"))),
            Err(_) => Err(away("too many calls wait for the module")),
        };
        answered.map_err(|failure| failure.of(&self.name))
    }
}

/// Until nobody has the seal any more, or the process ends.
fn serve(token: Token, waiting: &Receiver<Call>) {
    // Letting it go closes its session, which is a call of the module.
    let mut token = ManuallyDrop::new(token);
    while let Ok(Call { key, does, bound, answer }) = waiting.recv() {
        // Whoever asked may have given up while the module hung.
        if answer.is_closed() {
            continue;
        }
        let Some(_inside) = gate::enter() else { return };
        let done = match does {
            Does::Wrap(plaintext) => token.wrap(&key, &plaintext, &bound).map(SecretBytes::new),
            Does::Unwrap(wrap) => token.unwrap(&key, &wrap, &bound),
        };
        let _ = answer.send(done);
    }
    if let Some(_inside) = gate::enter() {
        drop(ManuallyDrop::into_inner(token));
    }
}

#[async_trait]
impl Seal for Pkcs11 {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        "pkcs11"
    }

    /// Without the library: it may move.
    fn identity(&self) -> String {
        super::identity(&self.name, self.kind(), &SecretBytes::new(format!("{} {}", self.token, self.key).into_bytes()))
    }

    fn with_key(&self, key_id: &str) -> Option<Arc<dyn Seal>> {
        let label = self.allowed_keys.iter().find(|allowed| *allowed == key_id)?.clone();
        let key = KeyName { label: Some(label), id: None };
        let (name, token, calls) = (self.name.clone(), self.token.clone(), self.calls.clone());
        Some(Arc::new(Self { name, key, allowed_keys: Vec::new(), token, calls }))
    }

    async fn wrap(&self, plaintext: &SecretBytes, context: &WrapContext) -> Result<Vec<u8>, SealError> {
        let wrap = self.call(Does::Wrap(plaintext.duplicate()), context).await?;
        Ok(wrap.expose().to_vec())
    }

    async fn unwrap(&self, wrap: &[u8], context: &WrapContext) -> Result<SecretBytes, SealError> {
        self.call(Does::Unwrap(wrap.to_vec()), context).await
    }
}
