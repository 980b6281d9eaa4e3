//! Where a reading of logs stands, as a text that a client brings back.
//!
//! Events of several logs have one order: by the time at which they were logged, then by log, then by index. A place is
//! between two events, so nothing is left out or read twice whatever is appended meanwhile, and one text serves both
//! directions.
//!
//! Form: base64url, without padding, of version (1 byte, 1) ‖ time (i64) ‖ tenant (16) ‖ index (u64) ‖ the first four bytes of
//! the SHA-256 of all before, so that a text that was cut or mistyped is refused. It holds no secret and grants nothing.

use data_encoding::BASE64URL_NOPAD;

use crate::crypto::sha256;
use crate::id::TenantId;
use crate::time::Timestamp;

const VERSION: u8 = 1;

/// The position of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// When it was logged: never before the one before it in the same log.
    pub time: Timestamp,
    /// Whose log it is in.
    pub tenant: TenantId,
    /// Its index there.
    pub index: u64,
}

impl Position {
    /// The text.
    pub fn cursor(&self) -> String {
        let mut bytes = Vec::with_capacity(37);
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.time.0.to_be_bytes());
        bytes.extend_from_slice(&self.tenant.0);
        bytes.extend_from_slice(&self.index.to_be_bytes());
        let sum = sha256(&[&bytes]);
        bytes.extend(sum.iter().take(4));
        BASE64URL_NOPAD.encode(&bytes)
    }

    /// Reads `cursor`; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        let (content, sum) = bytes.split_last_chunk::<4>()?;
        if !sha256(&[content]).starts_with(sum) {
            return None;
        }
        let ([VERSION], rest) = content.split_first_chunk()? else { return None };
        let (time, rest) = rest.split_first_chunk()?;
        let (tenant, rest) = rest.split_first_chunk()?;
        let index = u64::from_be_bytes(rest.try_into().ok()?);
        Some(Self { time: Timestamp(i64::from_be_bytes(*time)), tenant: TenantId(*tenant), index })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn cursors_survive_and_damage_is_refused(
            (time, tenant, index) in any::<(i64, [u8; 16], u64)>(),
            at in any::<proptest::sample::Index>(),
            other in "[A-Za-z0-9_-]",
        ) {
            let position = Position { time: Timestamp(time), tenant: TenantId(tenant), index };
            let cursor = position.cursor();
            prop_assert_eq!(Position::parse(&cursor), Some(position));
            let at = at.index(cursor.len());
            let mut damaged = cursor.clone();
            damaged.replace_range(at..=at, &other);
            prop_assert!(damaged == cursor || Position::parse(&damaged).is_none());
            prop_assert_eq!(Position::parse(&cursor[..at]), None);
        }

        #[test]
        fn other_texts_are_none(text in ".*") {
            prop_assert_eq!(Position::parse(&text), None);
        }
    }
}
