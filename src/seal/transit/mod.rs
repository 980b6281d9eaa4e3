//! The seal `transit`: a key of the transit engine of another server of this family, which never leaves it.
//!
//! Owns how that server is asked (`connection.rs`), as whom (`token.rs`), and what its answers mean. A wrap is the ciphertext that
//! it gave, as it is (`vault:v1:..`). It binds it to what the wrap is of, as associated data; a key of a type that does not is
//! refused, and so is a server that takes associated data and does not heed it. Rotating the key there needs nothing here.

mod connection;
mod token;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use data_encoding::BASE64;
use serde::Deserialize;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::{Failure, Seal, SealError, SetupError, printable};
use crate::config::Transit as Settings;
use crate::crypto::WrapContext;
use crate::secret::SecretBytes;
use connection::{Answer, Connection};
use token::Tokens;

/// Calls at a time; each takes a thread while it lasts.
const CALLS_MAX: usize = 16;

/// What the other server says of a key, mount or namespace that is of no use; everything else may pass.
const REFUSALS: [&str; 11] = [
    "encryption key not found",
    "for non-AEAD cipher suite",
    "missing 'context' for key derivation",
    "disallowed by policy",
    "soft-deleted",
    "soft deleted",
    "no handler for route",
    "namespace not found",
    "unsupported path",
    "unsupported operation",
    "does not support",
];
/// What it says of a ciphertext that is damaged, in another place, or of another key.
const UNFIT: [&str; 3] = ["message authentication failed", "invalid ciphertext", "missing ciphertext"];

/// A key of another server.
pub struct Transit {
    name: String,
    key: String,
    allowed_keys: Vec<String>,
    remote: Arc<Remote>,
    /// The key is there, and the server heeds what it is bound to: asked once.
    proven: Arc<AtomicBool>,
}

/// The other server, and the token for it.
struct Remote {
    connection: Connection,
    tokens: Tokens,
    mount: String,
    places: Arc<Semaphore>,
}

impl Transit {
    /// Reads the files of TLS, and begins to keep the token alive. Nobody is asked before the first call; this must run inside of a
    /// runtime.
    ///
    /// # Errors
    /// Files that hold no certificate or key.
    pub fn new(name: String, settings: &Settings) -> Result<Self, SetupError> {
        let setup = |problem| SetupError { seal: name.clone(), problem };
        let remote = Arc::new(Remote {
            connection: Connection::new(settings).map_err(setup)?,
            tokens: Tokens::new(settings),
            mount: settings.mount_path.clone(),
            places: Arc::new(Semaphore::new(CALLS_MAX)),
        });
        tokio::spawn(keep_token(name.clone(), Arc::downgrade(&remote)));
        let (key, allowed_keys) = (settings.key_name.clone(), settings.allowed_keys.clone());
        Ok(Self { name, key, allowed_keys, remote, proven: Arc::default() })
    }

    /// Asks on a thread that may block.
    async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Remote) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, SealError> {
        let place = Arc::clone(&self.remote.places).acquire_owned().await;
        let remote = Arc::clone(&self.remote);
        let asked = tokio::task::spawn_blocking(move || {
            let asked = ask(&remote);
            drop(place);
            asked
        });
        let asked = asked.await.unwrap_or_else(|_| Err(Failure::Away("the server is stopping".to_owned())));
        asked.map_err(|failure| failure.of(&self.name))
    }

    /// Once: that the key is there, because whoever may do more than it needs would make one by encrypting with it; and that a
    /// ciphertext opens where it belongs only.
    async fn prove(&self) -> Result<(), SealError> {
        if self.proven.load(Ordering::Relaxed) {
            return Ok(());
        }
        let key = self.key.clone();
        self.ask(move |remote| remote.prove(&key)).await?;
        self.proven.store(true, Ordering::Relaxed);
        Ok(())
    }
}

#[async_trait]
impl Seal for Transit {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        "transit"
    }

    /// Without the address: the other server may move.
    fn identity(&self) -> String {
        let namespace = self.remote.connection.namespace();
        let of = format!("{namespace} {} {}", self.remote.mount, self.key);
        super::identity(&self.name, self.kind(), &SecretBytes::new(of.into_bytes()))
    }

    fn with_key(&self, key_id: &str) -> Option<Arc<dyn Seal>> {
        let key = self.allowed_keys.iter().find(|allowed| *allowed == key_id)?.clone();
        let remote = Arc::clone(&self.remote);
        Some(Arc::new(Self { name: self.name.clone(), key, allowed_keys: Vec::new(), remote, proven: Arc::default() }))
    }

    async fn wrap(&self, plaintext: &SecretBytes, context: &WrapContext) -> Result<Vec<u8>, SealError> {
        self.prove().await?;
        let (key, plaintext, bound) = (self.key.clone(), plaintext.duplicate(), context.aad());
        self.ask(move |remote| remote.encrypt(&key, &plaintext, &bound)).await
    }

    async fn unwrap(&self, wrap: &[u8], context: &WrapContext) -> Result<SecretBytes, SealError> {
        let (key, wrap, bound) = (self.key.clone(), wrap.to_vec(), context.aad());
        self.ask(move |remote| remote.decrypt(&key, &wrap, &bound)).await
    }
}

#[derive(Deserialize)]
struct Answered<T> {
    data: T,
}

#[derive(Deserialize)]
struct Encrypted<'a> {
    ciphertext: &'a str,
}

#[derive(Deserialize)]
struct Decrypted<'a> {
    plaintext: &'a str,
}

/// Everything here blocks.
impl Remote {
    fn encrypt(&self, key: &str, plaintext: &SecretBytes, bound: &[u8]) -> Result<Vec<u8>, Failure> {
        let answer = self.post("encrypt", key, ("plaintext", &base64(plaintext.expose())), bound)?;
        let encrypted: Answered<Encrypted<'_>> = answer.parse()?;
        let ciphertext = encrypted.data.ciphertext;
        let is_one = ciphertext.len() > 10 && ciphertext.bytes().all(|byte| byte.is_ascii_graphic());
        is_one.then(|| ciphertext.as_bytes().to_vec()).ok_or_else(|| answer.nonsense())
    }

    fn decrypt(&self, key: &str, wrap: &[u8], bound: &[u8]) -> Result<SecretBytes, Failure> {
        // What is not text was never a wrap; what would need an escape in JSON neither.
        let is_plain = |text: &&str| text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'));
        let wrap = std::str::from_utf8(wrap).ok().filter(is_plain).filter(|text| !text.is_empty()).ok_or(Failure::Unfit)?;
        let answer = self.post("decrypt", key, ("ciphertext", wrap), bound)?;
        let decrypted: Answered<Decrypted<'_>> = answer.parse()?;
        let text = decrypted.data.plaintext.as_bytes();
        let length = BASE64.decode_len(text.len()).map_err(|_| answer.nonsense())?;
        let mut plaintext = Zeroizing::new(vec![0; length]);
        let length = BASE64.decode_mut(text, &mut plaintext).map_err(|_| answer.nonsense())?;
        plaintext.truncate(length);
        Ok(SecretBytes::from_wiping(plaintext))
    }

    fn prove(&self, key: &str) -> Result<(), Failure> {
        match self.decrypt(key, b"vault:v1:AAAA", b"here") {
            // It looked at the ciphertext, so the key is there.
            Ok(_) | Err(Failure::Unfit) => {}
            Err(failure) => return Err(failure),
        }
        let nothing = SecretBytes::new(vec![0; 32]);
        let wrap = self.encrypt(key, &nothing, b"here")?;
        match self.decrypt(key, &wrap, b"there") {
            Err(Failure::Unfit) => Ok(()),
            Ok(_) => Err(Failure::Refused("the other server does not heed associated_data: it is too old".to_owned())),
            Err(failure) => Err(failure),
        }
    }

    /// Asks with the token, and once more with another one if there is another and the first was not accepted.
    fn post(&self, operation: &str, key: &str, field: (&str, &str), bound: &[u8]) -> Result<Answer, Failure> {
        let path = format!("{}/{operation}/{key}", self.mount);
        let parts = ["{\"", field.0, "\":\"", field.1, "\",\"associated_data\":\"", &BASE64.encode(bound), "\"}"];
        // Sized at once: a buffer that grows leaves pieces of itself behind.
        let mut body = Zeroizing::new(Vec::with_capacity(parts.iter().map(|part| part.len()).sum()));
        for part in parts {
            body.extend_from_slice(part.as_bytes());
        }
        let token = self.tokens.current(&self.connection)?;
        let answer = self.connection.post(&path, Some(&token), &body)?;
        if !answer.is_denial() {
            return judged(answer, &path);
        }
        let Some(other) = self.tokens.another(&self.connection, &token)? else {
            return Err(self.denied(&path, &token));
        };
        let answer = self.connection.post(&path, Some(&other), &body)?;
        if answer.is_denial() { Err(self.denied(&path, &other)) } else { judged(answer, &path) }
    }

    /// Why it said 403: it does not tell a token that is none from one that may not.
    fn denied(&self, path: &str, token: &token::Token) -> Failure {
        match self.connection.look_up(token) {
            Ok(answer) if answer.status == 200 => {
                Failure::Refused(format!("permission denied: the token's policies must allow update on {path}"))
            }
            Ok(answer) if answer.is_denial() => Failure::Refused(format!(
                "permission denied on {path}: the token has expired, was revoked, or is of another server"
            )),
            _ => Failure::Refused(format!("permission denied on {path}")),
        }
    }
}

/// What an answer means, if it is not the one that was wished for.
fn judged(answer: Answer, path: &str) -> Result<Answer, Failure> {
    if answer.status == 200 {
        return Ok(answer);
    }
    let Some(text) = answer.errors() else { return Err(answer.nonsense()) };
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    match answer.status {
        400 if says(&UNFIT) => Err(Failure::Unfit),
        400 | 404 | 405 if says(&REFUSALS) => Err(Failure::Refused(format!("{} to {path}: {text}", answer.status))),
        status => Err(Failure::Away(format!("{status} to {path}: {text}"))),
    }
}

fn base64(bytes: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(BASE64.encode_len(bytes.len())));
    BASE64.encode_append(bytes, &mut text);
    text
}

/// Looks after the token until the seal is gone.
async fn keep_token(seal: String, remote: Weak<Remote>) {
    let mut pause = Duration::ZERO;
    loop {
        tokio::time::sleep(pause).await;
        let Some(remote) = remote.upgrade() else { return };
        let kept = tokio::task::spawn_blocking(move || remote.tokens.keep(&remote.connection)).await;
        let Ok(kept) = kept else { return };
        if let Some(problem) = kept.problem {
            tracing::warn!(seal, problem = printable(&problem), "the token of a seal is not kept alive");
        }
        pause = kept.pause;
    }
}
