//! The outer form of a backup: what can be said of it without any key. Pure; nothing here is read from a disk or a network.
//!
//!     "strongroom backup 1\n" ‖ frame ‖ frame ‖ ..
//!     frame: kind (1) ‖ backup (16) ‖ index (8) ‖ length (4) ‖ check (4) ‖ body ‖ SHA-256 of a label and all that (32)
//!     check: the first bytes of SHA-256 of a label and what stands before it
//!
//! Kind 1, index 0: the header, JSON. Kind 2: a sealed chunk. Kind 3, the last: a signed note (`audit/note.rs`) of
//!
//!     strongroom/<deployment>/backup ⏎ backup ⏎ made at ⏎ frames before this one ⏎ base64(digest) ⏎
//!
//! The digest is a chain of SHA-256 over the hashes of all frames before: order, number and content of all of them are signed.

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use crate::audit::note::{LogKey, NoteError};
use crate::crypto::sha256;
use crate::id::{BackupId, DeploymentId, TenantId};
use crate::time::Timestamp;

/// What a backup begins with.
pub(super) const MAGIC: &[u8; 20] = b"strongroom backup 1\n";
/// The longest body of a frame that is read: a chunk is that large only where one row is.
pub(super) const FRAME_BYTES_MAX: usize = 128 << 20;
/// The longest header.
const HEADER_BYTES_MAX: usize = 1 << 20;
/// The longest note.
const NOTE_BYTES_MAX: usize = 64 << 10;
/// A frame up to its check.
const OPENING: usize = 1 + 16 + 8 + 4;
const HEAD: usize = OPENING + 4;
const HASH: usize = 32;
const CHECK: &[u8] = b"strongroom backup check v1";
const FRAME: &[u8] = b"strongroom backup frame v1";
const CHAIN: &[u8] = b"strongroom backup chain v1";

const HEADER: u8 = 1;
const CHUNK: u8 = 2;
const END: u8 = 3;

/// What is wrong with a backup. Frames are counted from 0, the header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Something else.
    #[error("it is no backup of this software")]
    Foreign,
    /// A byte is another.
    #[error("part {0} was changed")]
    Changed(u64),
    /// Parts stand in another order, or one is missing in between, or twice.
    #[error("part {found} stands where part {expected} belongs: parts were reordered, left out or repeated")]
    Reordered {
        /// The one that belongs there.
        expected: u64,
        /// The one that is there.
        found: u64,
    },
    /// A part of another backup.
    #[error("part {part} is of another backup ({of}): it was spliced in")]
    Spliced {
        /// Which part.
        part: u64,
        /// The other backup.
        of: BackupId,
    },
    /// The end is missing.
    #[error("it is cut off after {0} parts: its end, which is signed, is not there")]
    CutOff(u64),
    /// Something follows the end.
    #[error("something was added after its end")]
    Longer,
    /// A part says that it is longer than any.
    #[error("part {0} is longer than any part of a backup")]
    TooLong(u64),
    /// A part has a form that no backup has.
    #[error("part {0} is malformed: {1}")]
    Malformed(u64, String),
    /// The header names another installation than the key.
    #[error("it is the backup of deployment {0}, and the key is of another one")]
    OtherDeployment(DeploymentId),
    /// The note at the end is not signed by the key.
    #[error("the key did not sign it: {0}")]
    Signature(NoteError),
    /// The note at the end is signed, and for other parts.
    #[error("its signature is of other parts than these: they were exchanged")]
    OtherParts,
}

/// What a backup says of itself, in the clear.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Which backup.
    pub backup: BackupId,
    /// Of which installation.
    pub deployment: DeploymentId,
    /// Its root tenant.
    pub root: TenantId,
    /// The tenant of strangers' events.
    pub edge: TenantId,
    /// Version of its sealed formats.
    pub format: u32,
    /// Its public seal configuration, base64.
    pub seal: String,
    /// When it was begun.
    pub made: Timestamp,
    /// The backup's key, as the deployment's seals wrapped it.
    pub wraps: Vec<KeyWrap>,
}

/// The backup's key, as one seal wrapped it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyWrap {
    /// The seal's name in the configuration.
    pub seal: String,
    /// Base64.
    pub wrap: String,
}

/// What the key is called that signs backups of a deployment.
pub fn name(deployment: DeploymentId) -> String {
    format!("strongroom/{deployment}/backup")
}

/// Hashes of frames, chained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    digest: [u8; 32],
    frames: u64,
}

impl Default for Chain {
    fn default() -> Self {
        Self { digest: sha256(&[CHAIN]), frames: 0 }
    }
}

impl Chain {
    fn take(&mut self, hash: &[u8; 32]) {
        self.digest = sha256(&[CHAIN, &self.digest, hash]);
        self.frames += 1;
    }

    /// How many frames it has taken.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// The hash of all that it has taken.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// What is signed of a backup whose frames these are.
    pub fn text(&self, header: &Header) -> String {
        let Header { deployment, backup, made, .. } = header;
        let digest = BASE64.encode(&self.digest);
        format!("{}\n{backup}\n{}\n{}\n{digest}\n", name(*deployment), made.rfc3339(), self.frames)
    }

    /// The header as a frame, the first one; and its hash.
    pub fn header(&mut self, header: &Header) -> (Vec<u8>, [u8; 32]) {
        // Plain structs of strings and numbers always serialise.
        let body = serde_json::to_vec(header).unwrap_or_default();
        let frame = self.frame(HEADER, header.backup, &body);
        (frame, self.digest)
    }

    /// A sealed chunk as a frame, the next one.
    pub fn chunk(&mut self, backup: BackupId, sealed: &[u8]) -> Vec<u8> {
        self.frame(CHUNK, backup, sealed)
    }

    /// The signed note as a frame, the last one.
    pub fn end(&mut self, backup: BackupId, note: &str) -> Vec<u8> {
        self.frame(END, backup, note.as_bytes())
    }

    fn frame(&mut self, kind: u8, backup: BackupId, body: &[u8]) -> Vec<u8> {
        let mut frame = Vec::with_capacity(HEAD + body.len() + HASH);
        frame.push(kind);
        frame.extend_from_slice(&backup.0);
        frame.extend_from_slice(&self.frames.to_be_bytes());
        frame.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
        let check = check(&frame);
        frame.extend_from_slice(&check);
        frame.extend_from_slice(body);
        let hash = sha256(&[FRAME, &frame]);
        frame.extend_from_slice(&hash);
        self.take(&hash);
        frame
    }
}

/// A part of a backup whose hash and place are right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The first.
    Header(Header),
    /// A sealed chunk.
    Chunk {
        /// Its place.
        index: u64,
        /// Its bytes.
        sealed: Vec<u8>,
    },
    /// The last.
    End {
        /// The signed note.
        note: Vec<u8>,
    },
}

/// Takes a backup apart, as its bytes come.
#[derive(Default)]
pub struct Frames {
    waiting: Vec<u8>,
    begun: bool,
    backup: Option<BackupId>,
    chain: Chain,
    ended: bool,
}

impl Frames {
    /// The next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
    }

    /// The chain of the frames that `frame` gave, the end left out.
    pub fn chain(&self) -> Chain {
        self.chain
    }

    /// The next frame; `None` as long as it is not there to its end.
    ///
    /// # Errors
    /// What is there is not what a backup has at this place.
    pub fn frame(&mut self) -> Result<Option<Frame>, Broken> {
        if !self.begun {
            if self.waiting.len() < MAGIC.len() {
                let fits = MAGIC.starts_with(&self.waiting);
                return if fits { Ok(None) } else { Err(Broken::Foreign) };
            }
            if !self.waiting.starts_with(MAGIC) {
                return Err(Broken::Foreign);
            }
            self.waiting.drain(..MAGIC.len());
            self.begun = true;
        }
        if self.ended {
            return if self.waiting.is_empty() { Ok(None) } else { Err(Broken::Longer) };
        }
        let expected = self.chain.frames;
        let Some((head, rest)) = self.waiting.split_first_chunk::<HEAD>() else { return Ok(None) };
        let Head { kind, backup, index, length } = Head::parse(head).ok_or(Broken::Changed(expected))?;
        let longest = match kind {
            HEADER => HEADER_BYTES_MAX,
            CHUNK => FRAME_BYTES_MAX,
            END => NOTE_BYTES_MAX,
            _ => return Err(Broken::Changed(expected)),
        };
        if length > longest {
            return Err(Broken::TooLong(expected));
        }
        let Some((body, rest)) = rest.split_at_checked(length) else { return Ok(None) };
        let Some(hash) = rest.first_chunk::<HASH>() else { return Ok(None) };
        let covered = self.waiting.get(..HEAD + length).unwrap_or_default();
        if sha256(&[FRAME, covered]) != *hash {
            return Err(Broken::Changed(expected));
        }
        if self.backup.is_some_and(|own| own != backup) {
            return Err(Broken::Spliced { part: expected, of: backup });
        }
        if index != expected || (kind == HEADER) != (expected == 0) {
            return Err(Broken::Reordered { expected, found: index });
        }
        let frame = match kind {
            HEADER => Frame::Header(parse_header(body, backup)?),
            CHUNK => Frame::Chunk { index, sealed: body.to_vec() },
            _ => Frame::End { note: body.to_vec() },
        };
        self.backup = Some(backup);
        let hash = *hash;
        self.ended = kind == END;
        if !self.ended {
            self.chain.take(&hash);
        }
        self.waiting.drain(..HEAD + length + HASH);
        Ok(Some(frame))
    }

    /// Nothing more comes.
    ///
    /// # Errors
    /// The backup had no end, or something follows it.
    pub fn finish(&self) -> Result<(), Broken> {
        match (self.ended, self.waiting.is_empty()) {
            (true, true) => Ok(()),
            (true, false) => Err(Broken::Longer),
            (false, _) if !self.begun => Err(Broken::Foreign),
            (false, _) => Err(Broken::CutOff(self.chain.frames)),
        }
    }
}

/// What a frame begins with.
struct Head {
    kind: u8,
    backup: BackupId,
    index: u64,
    length: usize,
}

impl Head {
    fn parse(head: &[u8; HEAD]) -> Option<Self> {
        let (opening, checked) = head.split_first_chunk::<OPENING>()?;
        if check(opening) != *checked {
            return None;
        }
        let ([kind], rest) = opening.split_first_chunk()?;
        let (backup, rest) = rest.split_first_chunk()?;
        let (index, length) = rest.split_first_chunk()?;
        let length = usize::try_from(u32::from_be_bytes(length.try_into().ok()?)).ok()?;
        Some(Self { kind: *kind, backup: BackupId(*backup), index: u64::from_be_bytes(*index), length })
    }
}

/// So that a length that was changed is not waited for.
fn check(opening: &[u8]) -> [u8; 4] {
    let [a, b, c, d, ..] = sha256(&[CHECK, opening]);
    [a, b, c, d]
}

fn parse_header(body: &[u8], backup: BackupId) -> Result<Header, Broken> {
    let header: Header = serde_json::from_slice(body)
        .map_err(|error| Broken::Malformed(0, format!("line {} column {}", error.line(), error.column())))?;
    if header.backup == backup { Ok(header) } else { Err(Broken::Malformed(0, "it names another backup".to_owned())) }
}

impl Header {
    /// The key that backups of this deployment are verified with, from one of its log keys, whichever log it is named for.
    ///
    /// # Errors
    /// The key is of another deployment.
    pub fn key(&self, key: &LogKey) -> Result<LogKey, Broken> {
        let own = format!("strongroom/{}/", self.deployment);
        if key.name().starts_with(&own) {
            Ok(key.named(&name(self.deployment)))
        } else {
            Err(Broken::OtherDeployment(self.deployment))
        }
    }

    /// Whether the note at the end is one that `key` has signed of these frames.
    ///
    /// # Errors
    /// It is not.
    pub fn verify(&self, chain: &Chain, note: &[u8], key: &LogKey) -> Result<(), Broken> {
        let key = self.key(key)?;
        let (text, _) = key.open_text(note).map_err(Broken::Signature)?;
        if text == chain.text(self) { Ok(()) } else { Err(Broken::OtherParts) }
    }
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
