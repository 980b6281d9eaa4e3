//! The signed tenant context: which tenants a transaction may see, said so that nobody else can say it.
//!
//! A policy that trusts a plain setting falls to one injected call of `set_config`. So the setting carries an
//! HMAC-SHA-256 (RFC 2104) over the tenants, the backend's process id, the start of the database server and the start of
//! the transaction in microseconds; the database checks it with a key that the server's role cannot read
//! (`strongroom_context.tenants` in `migrations/postgres`). Two transactions of one backend do not start in the same
//! microsecond, so a context that was seen once is of no use later. Not promised: that, when the database's clock is set back.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::super::StoreError;
use crate::id::TenantId;
use crate::private_file::is_private;

const LABEL: &[u8] = b"strongroom-context-1";
/// Block size of SHA-256.
const BLOCK: usize = 64;

/// The key that contexts are signed with: shared by the database and the servers, and worth nothing without a connection.
pub(super) struct ContextKey(Zeroizing<[u8; 32]>);

/// What a context is bound to.
#[derive(Clone, Copy)]
pub(super) struct Transaction {
    /// Process id of the backend.
    pub(super) backend: i64,
    /// Start of the database server, microseconds since 1970.
    pub(super) server_start: i64,
    /// Start of the transaction, microseconds since 1970.
    pub(super) start: i64,
}

impl ContextKey {
    pub(super) fn generate() -> Self {
        Self(Zeroizing::new(crate::random::bytes()))
    }

    /// Reads the file; `None` when there is none.
    pub(super) fn load(path: &Path) -> Result<Option<Self>, StoreError> {
        let refused = |problem: String| StoreError::Refused(format!("the context key file {} {problem}", path.display()));
        let text = match std::fs::read_to_string(path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(refused(format!("cannot be read: {error}"))),
        };
        let metadata = std::fs::metadata(path).map_err(|error| refused(format!("cannot be read: {error}")))?;
        if !is_private(&metadata) {
            return Err(refused(format!("may be read by others (mode {:o}); set it to 600", metadata.mode() & 0o777)));
        }
        let raw = HEXLOWER.decode(text.trim().as_bytes()).map(Zeroizing::new);
        let key = raw.ok().and_then(|raw| <[u8; 32]>::try_from(raw.as_slice()).ok());
        let key = key.ok_or_else(|| refused("does not hold 64 hexadecimal digits".to_owned()))?;
        Ok(Some(Self(Zeroizing::new(key))))
    }

    /// Puts the key into the file, whole or not at all, readable by its owner only.
    pub(super) fn save(&self, path: &Path) -> Result<(), StoreError> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        let beside = Path::new(&beside);
        let text = Zeroizing::new(format!("{}\n", Zeroizing::new(HEXLOWER.encode(&*self.0)).as_str()));
        // What an earlier attempt left behind.
        let _ = std::fs::remove_file(beside);
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(beside)
            .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
            .and_then(|()| std::fs::rename(beside, path))
            .and_then(|()| match path.parent() {
                Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
                _ => Ok(()),
            })
            .map_err(|error| StoreError::Refused(format!("cannot write the context key file {}: {error}", path.display())))
    }

    /// The key xored into the inner and the outer block of an HMAC: what the database keeps.
    pub(super) fn blocks(&self) -> [Zeroizing<Vec<u8>>; 2] {
        [0x36, 0x5c].map(|pad| {
            let mut block = Zeroizing::new(vec![pad; BLOCK]);
            block.iter_mut().zip(self.0.iter()).for_each(|(byte, key)| *byte ^= key);
            block
        })
    }

    /// The value of the setting: 64 hexadecimal digits of MAC, then 32 per tenant.
    pub(super) fn sign(&self, transaction: Transaction, tenants: &[TenantId]) -> Result<String, StoreError> {
        let ids: Vec<u8> = tenants.iter().flat_map(|tenant| tenant.0).collect();
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&*self.0).map_err(|_| StoreError::Misused("a context key of the wrong length"))?;
        mac.update(LABEL);
        for number in [transaction.backend, transaction.server_start, transaction.start] {
            mac.update(&number.to_be_bytes());
        }
        mac.update(&ids);
        let mut context = HEXLOWER.encode(&mac.finalize().into_bytes());
        HEXLOWER.encode_append(&ids, &mut context);
        Ok(context)
    }
}
