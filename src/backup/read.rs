//! Reading a backup as a stream: every part is verified as it comes, the whole once its end is there.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use data_encoding::BASE64;
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

use super::entry::Entry;
use super::frame::{Broken, Chain, Frame, Frames, Header};
use super::order::{Counted, Order, OutOfOrder};
use super::write::context;
use crate::audit::note::LogKey;
use crate::crypto::{BackupKey, ChunkPlace};
use crate::seal::Seal;

/// How much of a file is read at once, bytes.
const BLOCK: usize = 1 << 20;

/// Where a backup comes from.
#[async_trait]
pub trait Input: Send {
    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// It cannot be read; the text says why.
    async fn read(&mut self) -> Result<Option<Vec<u8>>, String>;
}

/// A backup in a file.
pub struct FileInput {
    path: PathBuf,
    file: File,
}

impl FileInput {
    /// Opens it.
    ///
    /// # Errors
    /// It cannot be opened.
    pub async fn open(path: &Path) -> Result<Self, String> {
        let file = File::open(path).await.map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self { path: path.to_owned(), file })
    }
}

#[async_trait]
impl Input for FileInput {
    async fn read(&mut self) -> Result<Option<Vec<u8>>, String> {
        let mut block = vec![0; BLOCK];
        let read = self.file.read(&mut block).await.map_err(|error| format!("{}: {error}", self.path.display()))?;
        block.truncate(read);
        Ok((read > 0).then_some(block))
    }
}

/// Why a backup is not to be used.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It cannot be read.
    #[error("{0}")]
    Input(String),
    /// It is not as it was signed.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// It is as it was signed, and does not hold whole tenants.
    #[error("it is signed, and not whole: {0}")]
    OutOfOrder(#[from] OutOfOrder),
    /// No seal at hand opens its key.
    #[error("its key does not open: {0}")]
    Key(String),
}

/// A backup that is being read.
pub struct Read<'k> {
    input: Box<dyn Input>,
    frames: Frames,
    header: Header,
    header_hash: Chain,
    verifier: &'k LogKey,
    key: Option<BackupKey>,
    order: Order,
    bytes: u64,
}

impl<'k> Read<'k> {
    /// Reads what it says of itself, and whether `verifier` is a key of the same deployment.
    ///
    /// # Errors
    /// It is no backup, or another deployment's.
    pub async fn begin(mut input: Box<dyn Input>, verifier: &'k LogKey) -> Result<Self, ReadError> {
        let (mut frames, mut bytes) = (Frames::default(), 0);
        let Some(Frame::Header(header)) = next(&mut *input, &mut frames, &mut bytes).await? else {
            return Err(Broken::Foreign.into());
        };
        header.key(verifier)?;
        let header_hash = frames.chain();
        Ok(Self { input, frames, header, header_hash, verifier, key: None, order: Order::default(), bytes })
    }

    /// What it says of itself: not to be believed before the end.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Bytes that were read.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Parts that were read.
    pub fn parts(&self) -> u64 {
        self.frames.chain().frames()
    }

    /// What was found in it, if it was opened.
    pub fn counted(&self) -> Counted {
        self.order.counted()
    }

    /// Opens its key, so that what follows is opened, too.
    ///
    /// # Errors
    /// None of these seals does.
    pub async fn unlock(&mut self, seals: &[Arc<dyn Seal>]) -> Result<(), ReadError> {
        let mut failure = "none of the configured seals has wrapped it".to_owned();
        let context = context(self.header.deployment, self.header.backup);
        for seal in seals.iter().filter(|seal| seal.opens()) {
            for wrap in self.header.wraps.iter().filter(|wrap| wrap.seal == seal.name()) {
                let Ok(wrap) = BASE64.decode(wrap.wrap.as_bytes()) else { continue };
                match seal.unwrap(&wrap, &context).await {
                    Ok(secret) => {
                        self.key = BackupKey::from_secret(secret);
                        if self.key.is_some() {
                            return Ok(());
                        }
                    }
                    Err(error) => failure = error.to_string(),
                }
            }
        }
        Err(ReadError::Key(failure))
    }

    /// The entries of the next part; none when the key is not open. `None` at the end: all was as it was signed.
    ///
    /// # Errors
    /// It is not.
    pub async fn next(&mut self) -> Result<Option<Vec<Entry>>, ReadError> {
        match next(&mut *self.input, &mut self.frames, &mut self.bytes).await? {
            Some(Frame::Chunk { index, sealed }) => self.entries(index, &sealed).map(Some),
            Some(Frame::End { note }) => {
                let chain = self.frames.chain();
                // Nothing may follow.
                while next(&mut *self.input, &mut self.frames, &mut self.bytes).await?.is_some() {}
                self.header.verify(&chain, &note, self.verifier)?;
                if self.key.is_some() {
                    self.order.finish()?;
                }
                Ok(None)
            }
            Some(Frame::Header(_)) | None => Err(Broken::CutOff(self.parts()).into()),
        }
    }

    fn entries(&mut self, index: u64, sealed: &[u8]) -> Result<Vec<Entry>, ReadError> {
        let Some(key) = &self.key else { return Ok(Vec::new()) };
        let Header { deployment, backup, .. } = self.header;
        let place = ChunkPlace { deployment, backup, header: self.header_hash.digest(), index };
        // A key that a seal gave and that does not open this is another one, or the part is not what was written.
        let chunk = key.open(&place, sealed).map_err(|_| Broken::Malformed(index, "it does not open".to_owned()))?;
        let entries = Entry::parse_all(chunk.expose());
        let entries = entries.ok_or_else(|| Broken::Malformed(index, "its rows have another form".to_owned()))?;
        entries.iter().try_for_each(|entry| self.order.take(entry))?;
        Ok(entries)
    }
}

/// The next frame; `None` when the input has ended after the last one.
async fn next(input: &mut dyn Input, frames: &mut Frames, bytes: &mut u64) -> Result<Option<Frame>, ReadError> {
    loop {
        if let Some(frame) = frames.frame()? {
            return Ok(Some(frame));
        }
        let Some(block) = input.read().await.map_err(ReadError::Input)? else {
            frames.finish()?;
            return Ok(None);
        };
        *bytes += block.len() as u64;
        frames.push(&block);
    }
}
