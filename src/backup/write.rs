//! Writing a backup as a stream.

use std::sync::Arc;

use async_trait::async_trait;
use data_encoding::BASE64;

use super::entry::Entry;
use super::frame::{Chain, Header, KeyWrap, MAGIC};
use crate::crypto::{BackupKey, ChunkPlace, WrapContext};
use crate::id::{BackupId, DeploymentId, TenantId};
use crate::seal::{Seal, SealError};
use crate::storage::Deployment;
use crate::time::Timestamp;

/// A chunk that is so long is sealed and written, bytes.
const CHUNK_BYTES: usize = 1 << 20;

/// Where a backup goes.
#[async_trait]
pub trait Output: Send {
    /// The next bytes.
    ///
    /// # Errors
    /// They were not taken; the text says why.
    async fn write(&mut self, bytes: Vec<u8>) -> Result<(), String>;
}

/// What a backup's key is bound to when it is wrapped. The keys of tenants are counted from 1, so it never passes for one.
pub(super) fn context(deployment: DeploymentId, backup: BackupId) -> WrapContext {
    WrapContext { deployment, tenant: TenantId(backup.0), generation: 0 }
}

/// A backup that is being written.
pub struct Writer<O> {
    output: O,
    header: Header,
    header_hash: [u8; 32],
    key: BackupKey,
    chain: Chain,
    waiting: Vec<u8>,
    bytes: u64,
}

impl<O: Output> Writer<O> {
    /// Begins one: its key is wrapped by every seal that answers.
    ///
    /// # Errors
    /// No seal that opens wrapped the key, or the output took nothing.
    pub async fn begin(
        output: O,
        deployment: &Deployment,
        seals: &[Arc<dyn Seal>],
        backup: BackupId,
        made: Timestamp,
    ) -> Result<Self, String> {
        let (key, mut wraps, mut failure) = (BackupKey::generate(), Vec::new(), None::<SealError>);
        let mut opens = false;
        for seal in seals {
            match seal.wrap(&key.secret(), &context(deployment.id, backup)).await {
                Ok(wrap) => {
                    opens |= seal.opens();
                    wraps.push(KeyWrap { seal: seal.name().to_owned(), wrap: BASE64.encode(&wrap) });
                }
                Err(error) => failure = Some(error),
            }
        }
        if !opens {
            return Err(failure.map_or_else(|| "no seal is open".to_owned(), |error| error.to_string()));
        }
        let Deployment { id, root, edge, format, .. } = *deployment;
        let seal = BASE64.encode(&deployment.seal);
        let header = Header { backup, deployment: id, root, edge, format, seal, made, wraps };
        let mut chain = Chain::default();
        let (frame, header_hash) = chain.header(&header);
        let mut writer = Self { output, header, header_hash, key, chain, waiting: Vec::new(), bytes: 0 };
        writer.put([&MAGIC[..], &frame].concat()).await?;
        Ok(writer)
    }

    /// The next entry.
    ///
    /// # Errors
    /// The output did not take it.
    pub async fn add(&mut self, entry: &Entry) -> Result<(), String> {
        entry.encode(&mut self.waiting);
        if self.waiting.len() < CHUNK_BYTES { Ok(()) } else { self.flush().await }
    }

    /// Bytes that the output has taken.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Writes what is left, and says what is to be signed.
    ///
    /// # Errors
    /// The output did not take it.
    pub async fn text(&mut self) -> Result<String, String> {
        self.flush().await?;
        Ok(self.chain.text(&self.header))
    }

    /// Ends the backup with the signed note of `text`. Gives the output back.
    ///
    /// # Errors
    /// The output did not take it.
    pub async fn end(mut self, note: &str) -> Result<(O, u64), String> {
        let frame = self.chain.end(self.header.backup, note);
        self.put(frame).await?;
        Ok((self.output, self.bytes))
    }

    /// Gives the output back, of a backup that comes to nothing.
    pub fn abandon(self) -> O {
        self.output
    }

    async fn flush(&mut self) -> Result<(), String> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let Header { deployment, backup, .. } = self.header;
        let place = ChunkPlace { deployment, backup, header: self.header_hash, index: self.chain.frames() };
        let sealed = self.key.seal(&place, &self.waiting);
        self.waiting.clear();
        let frame = self.chain.chunk(backup, &sealed);
        self.put(frame).await
    }

    async fn put(&mut self, bytes: Vec<u8>) -> Result<(), String> {
        let length = bytes.len() as u64;
        self.output.write(bytes).await?;
        self.bytes += length;
        Ok(())
    }
}
