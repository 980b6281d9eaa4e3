//! What is in the chunks of a backup: rows, as both stores have them.
//!
//!     chunk: entry ‖ entry ‖ ..          entry: tag (1) ‖ length (4) ‖ fields
//!
//! Fields follow one another: numbers big-endian, bytes of a fixed length as they are, others behind their length (4). What may be
//! absent is behind a byte that says whether it is there, and zeros when it is not.

use crate::id::TenantId;
use crate::record::{DirKey, RecordKey};
use crate::storage::{Archived, Checkpoint, LogRow, RecordRow, Tail, TenantKeys, TenantState, Wrap};
use crate::time::Timestamp;

/// One entry of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A tenant begins: what follows is of it, up to its end.
    Tenant {
        /// Its identifier.
        id: TenantId,
        /// The tenant above it.
        parent: Option<TenantId>,
        /// Its keys when it was begun.
        keys: TenantKeys,
    },
    /// A record, in place of what was said of its key before.
    Record(RecordRow),
    /// There is no record with this key, whatever was said before.
    Removed(RecordKey),
    /// The next row of the log.
    Log(LogRow),
    /// A signed tree.
    Checkpoint(Checkpoint),
    /// A run of the log that is in the archive.
    Archived(Archived),
    /// The tenant is whole.
    TenantEnd {
        /// What may be done with it.
        state: TenantState,
        /// Its keys, at the moment that its last row of the log is of.
        keys: TenantKeys,
        /// Its last row of the log; 0 when it has none.
        seq: u64,
    },
    /// The tenant was erased while it was read: nothing of it is restored.
    Gone,
    /// The last entry: how many tenants there were, those that are gone among them.
    End {
        /// Their number.
        tenants: u64,
    },
}

impl Entry {
    /// Adds its bytes to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut body = Vec::new();
        let tag = match self {
            Self::Tenant { id, parent, keys } => {
                body.extend_from_slice(&id.0);
                body.push(u8::from(parent.is_some()));
                body.extend_from_slice(&parent.map_or([0; 16], |parent| parent.0));
                put_keys(&mut body, keys);
                1
            }
            Self::Record(row) => {
                body.extend_from_slice(&row.key.0);
                body.extend_from_slice(&row.directory.0);
                body.extend_from_slice(&row.seq.to_be_bytes());
                body.push(u8::from(row.expires_at.is_some()));
                body.extend_from_slice(&row.expires_at.map_or(0, |at| at.0).to_be_bytes());
                put(&mut body, &row.name);
                put(&mut body, &row.sealed);
                2
            }
            Self::Removed(key) => {
                body.extend_from_slice(&key.0);
                3
            }
            Self::Log(row) => {
                put_log(&mut body, row);
                4
            }
            Self::Checkpoint(checkpoint) => {
                body.extend_from_slice(&checkpoint.size.to_be_bytes());
                body.extend_from_slice(&checkpoint.root);
                put(&mut body, &checkpoint.note);
                5
            }
            Self::Archived(run) => {
                body.extend_from_slice(&run.epoch.to_be_bytes());
                for number in [run.first_index, run.size, run.first_seq, run.last_seq, run.bytes] {
                    body.extend_from_slice(&number.to_be_bytes());
                }
                body.extend_from_slice(&run.time.0.to_be_bytes());
                body.extend_from_slice(&run.digest);
                6
            }
            Self::TenantEnd { state, keys, seq } => {
                body.push(state.code());
                put_keys(&mut body, keys);
                body.extend_from_slice(&seq.to_be_bytes());
                7
            }
            Self::Gone => 8,
            Self::End { tenants } => {
                body.extend_from_slice(&tenants.to_be_bytes());
                9
            }
        };
        out.push(tag);
        put(out, &body);
    }

    /// Reads all entries of a chunk. `None` for what `encode` does not write.
    pub fn parse_all(chunk: &[u8]) -> Option<Vec<Self>> {
        let (mut rest, mut entries) = (Cursor(chunk), Vec::new());
        while !rest.0.is_empty() {
            let tag = rest.byte()?;
            let mut body = Cursor(rest.bytes()?);
            entries.push(Self::parse(tag, &mut body)?);
            body.0.is_empty().then_some(())?;
        }
        Some(entries)
    }

    fn parse(tag: u8, body: &mut Cursor<'_>) -> Option<Self> {
        Some(match tag {
            1 => {
                let id = TenantId(body.array()?);
                let (below, parent) = body.optional()?;
                Self::Tenant { id, parent: below.then_some(TenantId(parent)), keys: body.keys()? }
            }
            2 => {
                let (key, directory, seq) = (RecordKey(body.array()?), DirKey(body.array()?), body.number()?);
                let (expires, at) = body.optional()?;
                let expires_at = expires.then(|| Timestamp(i64::from_be_bytes(at)));
                let (name, sealed) = (body.bytes()?.to_vec(), body.bytes()?.to_vec());
                Self::Record(RecordRow { key, directory, seq, expires_at, name, sealed })
            }
            3 => Self::Removed(RecordKey(body.array()?)),
            4 => Self::Log(body.log()?),
            5 => Self::Checkpoint(Checkpoint { size: body.number()?, root: body.array()?, note: body.bytes()?.to_vec() }),
            6 => Self::Archived(Archived {
                epoch: u32::from_be_bytes(body.array()?),
                first_index: body.number()?,
                size: body.number()?,
                first_seq: body.number()?,
                last_seq: body.number()?,
                bytes: body.number()?,
                time: Timestamp(i64::from_be_bytes(body.array()?)),
                digest: body.array()?,
            }),
            7 => {
                let state = TenantState::from_code(i64::from(body.byte()?))?;
                Self::TenantEnd { state, keys: body.keys()?, seq: body.number()? }
            }
            8 => Self::Gone,
            9 => Self::End { tenants: body.number()? },
            _ => return None,
        })
    }
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(bytes);
}

fn put_keys(out: &mut Vec<u8>, keys: &TenantKeys) {
    out.extend_from_slice(&keys.generation.to_be_bytes());
    put(out, &keys.keyring);
    out.extend_from_slice(&u32::try_from(keys.wraps.len()).unwrap_or(u32::MAX).to_be_bytes());
    for Wrap { seal, wrap } in &keys.wraps {
        put(out, seal.as_bytes());
        put(out, wrap);
    }
}

fn put_log(out: &mut Vec<u8>, row: &LogRow) {
    let tail = &row.tail;
    for number in [tail.seq, tail.first_index] {
        out.extend_from_slice(&number.to_be_bytes());
    }
    out.extend_from_slice(&tail.count.to_be_bytes());
    out.extend_from_slice(&tail.time.0.to_be_bytes());
    for fixed in [&tail.prev_root[..], &tail.root, &tail.group, &tail.mac] {
        out.extend_from_slice(fixed);
    }
    for part in [&tail.frontier, &tail.changed, &row.batch, &row.leaves, &row.summary] {
        put(out, part);
    }
}

/// What is left to read.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// What may be absent: zeros then, so that there is one form.
    fn optional<const N: usize>(&mut self) -> Option<(bool, [u8; N])> {
        match (self.byte()?, self.array()?) {
            (1, value) => Some((true, value)),
            (0, value) if value == [0; N] => Some((false, value)),
            _ => None,
        }
    }

    fn number(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_be_bytes(self.array()?);
        self.take(usize::try_from(length).ok()?)
    }

    fn keys(&mut self) -> Option<TenantKeys> {
        let generation = u32::from_be_bytes(self.array()?);
        let keyring = self.bytes()?.to_vec();
        let mut wraps = Vec::new();
        for _ in 0..u32::from_be_bytes(self.array()?) {
            let seal = std::str::from_utf8(self.bytes()?).ok()?.to_owned();
            wraps.push(Wrap { seal, wrap: self.bytes()?.to_vec() });
        }
        Some(TenantKeys { generation, wraps, keyring })
    }

    fn log(&mut self) -> Option<LogRow> {
        let (seq, first_index) = (self.number()?, self.number()?);
        let (count, time) = (u32::from_be_bytes(self.array()?), Timestamp(i64::from_be_bytes(self.array()?)));
        let (prev_root, root, group, mac) = (self.array()?, self.array()?, self.array()?, self.array()?);
        let (frontier, changed) = (self.bytes()?.to_vec(), self.bytes()?.to_vec());
        let tail = Tail { seq, first_index, count, time, prev_root, root, frontier, changed, group, mac };
        let (batch, leaves, summary) = (self.bytes()?.to_vec(), self.bytes()?.to_vec(), self.bytes()?.to_vec());
        Some(LogRow { tail, batch, leaves, summary })
    }
}
