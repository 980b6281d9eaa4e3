//! Anchors: where each log stood when it was signed last, kept outside of the database, so that an older database is known for
//! one. The file is lines of text, the MAC under a key of the root tenant, over all lines before it:
//!
//!     strongroom anchors 1 DEPLOYMENT ROOT EDGE
//!     TENANT EPOCH SIZE BASE64(ROOT HASH)
//!     mac HEX
//!
//! Beside it an operator may write what is given up of the deployment's own logs, lines of the same form behind another header:
//!
//!     strongroom accepted 1 DEPLOYMENT
//!     TENANT EPOCH SIZE BASE64(ROOT HASH)

use std::collections::BTreeMap;
use std::fmt::Write as _;

use data_encoding::{BASE64, HEXLOWER};

use super::merkle::Hash;
use crate::base64;
use crate::id::{DeploymentId, TenantId};

/// The longest file that is read, in bytes: of two million logs.
pub const FILE_BYTES_MAX: u64 = 256 << 20;

/// Where a log stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// The epoch of the log.
    pub epoch: u32,
    /// How many events were signed.
    pub size: u64,
    /// The root of their tree.
    pub root: Hash,
}

/// All anchors of a deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchored {
    /// Which installation.
    pub deployment: DeploymentId,
    /// Its root tenant.
    pub root: TenantId,
    /// The tenant of strangers' events.
    pub edge: TenantId,
    /// By tenant.
    pub anchors: BTreeMap<TenantId, Anchor>,
}

/// A text that is not a file of anchors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnchorError {
    /// The first line.
    #[error("it is no file of anchors")]
    Header,
    /// This line, from 1.
    #[error("line {0} is not that of a file of anchors")]
    Line(usize),
    /// The last line.
    #[error("it has no MAC at its end: it was cut off")]
    CutOff,
}

impl Anchored {
    /// What the MAC covers.
    pub fn body(&self) -> String {
        let mut text = format!("strongroom anchors 1 {} {} {}\n", self.deployment, self.root, self.edge);
        lines(&mut text, &self.anchors);
        text
    }

    /// The file.
    pub fn text(&self, mac: &[u8; 32]) -> String {
        let mut text = self.body();
        // Writing to a text does not fail.
        let _ = writeln!(text, "mac {}", HEXLOWER.encode(mac));
        text
    }

    /// Reads `text`, and the MAC that stands at its end.
    ///
    /// # Errors
    /// Anything that `text` does not write.
    pub fn parse(text: &str) -> Result<(Self, [u8; 32]), AnchorError> {
        let (header, rest) = text.split_once('\n').ok_or(AnchorError::Header)?;
        let mut ids = header.strip_prefix("strongroom anchors 1 ").ok_or(AnchorError::Header)?.split(' ');
        let mut id = || ids.next().and_then(id).ok_or(AnchorError::Header);
        let (deployment, root, edge) = (DeploymentId(id()?), TenantId(id()?), TenantId(id()?));
        let end = rest.rfind("mac ").filter(|at| *at == 0 || rest.as_bytes().get(at - 1) == Some(&b'\n'));
        let (lines, mac) = rest.split_at_checked(end.ok_or(AnchorError::CutOff)?).ok_or(AnchorError::CutOff)?;
        let mac = mac.strip_prefix("mac ").and_then(|mac| mac.strip_suffix('\n'));
        let mac = mac.and_then(|mac| HEXLOWER.decode(mac.as_bytes()).ok()).and_then(|mac| mac.try_into().ok());
        let read = Self { deployment, root, edge, anchors: parse_lines(lines, 2)? };
        let mac = mac.ok_or(AnchorError::CutOff)?;
        // One form only: what was read is what the MAC covers.
        if read.text(&mac) == text { Ok((read, mac)) } else { Err(AnchorError::Header) }
    }
}

/// What an operator accepts: that logs do not extend these anchors any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Which installation.
    pub deployment: DeploymentId,
    /// By tenant.
    pub anchors: BTreeMap<TenantId, Anchor>,
}

impl Accepted {
    /// The file.
    pub fn text(&self) -> String {
        let mut text = format!("strongroom accepted 1 {}\n", self.deployment);
        lines(&mut text, &self.anchors);
        text
    }

    /// Reads `text`.
    ///
    /// # Errors
    /// Anything that `text` does not write.
    pub fn parse(text: &str) -> Result<Self, AnchorError> {
        let (header, rest) = text.split_once('\n').ok_or(AnchorError::Header)?;
        let deployment = header.strip_prefix("strongroom accepted 1 ").and_then(id).ok_or(AnchorError::Header)?;
        Ok(Self { deployment: DeploymentId(deployment), anchors: parse_lines(rest, 2)? })
    }
}

fn id(text: &str) -> Option<[u8; 16]> {
    HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}

fn lines(text: &mut String, anchors: &BTreeMap<TenantId, Anchor>) {
    for (tenant, Anchor { epoch, size, root }) in anchors {
        // Writing to a text does not fail.
        let _ = writeln!(text, "{tenant} {epoch} {size} {}", BASE64.encode(root));
    }
}

/// `first` is the number of the first line.
fn parse_lines(text: &str, first: usize) -> Result<BTreeMap<TenantId, Anchor>, AnchorError> {
    let mut anchors = BTreeMap::new();
    for (number, line) in (first..).zip(text.lines()) {
        let (tenant, anchor) = parse_line(line).ok_or(AnchorError::Line(number))?;
        if anchors.insert(tenant, anchor).is_some() {
            return Err(AnchorError::Line(number));
        }
    }
    Ok(anchors)
}

fn parse_line(line: &str) -> Option<(TenantId, Anchor)> {
    let mut parts = line.split(' ');
    let tenant = TenantId(id(parts.next()?)?);
    let (epoch, size) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let root = base64::decode(parts.next()?).ok()?.try_into().ok()?;
    parts.next().is_none().then_some((tenant, Anchor { epoch, size, root }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn anchored() -> Anchored {
        let anchor = |size| Anchor { epoch: 1, size, root: [7; 32] };
        let anchors = [(TenantId([2; 16]), anchor(5)), (TenantId([9; 16]), anchor(u64::MAX))].into();
        Anchored { deployment: DeploymentId([1; 16]), root: TenantId([2; 16]), edge: TenantId([3; 16]), anchors }
    }

    #[test]
    fn the_form_is_fixed_and_read_back() {
        let text = anchored().text(&[0xab; 32]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], format!("strongroom anchors 1 {} {} {}", "01".repeat(16), "02".repeat(16), "03".repeat(16)));
        assert_eq!(lines[1], format!("{} 1 5 {}", "02".repeat(16), BASE64.encode(&[7; 32])));
        assert_eq!(lines[3], format!("mac {}", "ab".repeat(32)));
        assert_eq!(Anchored::parse(&text), Ok((anchored(), [0xab; 32])));
        let accepted = Accepted { deployment: DeploymentId([1; 16]), anchors: anchored().anchors };
        assert_eq!(Accepted::parse(&accepted.text()), Ok(accepted));
    }

    #[test]
    fn a_file_without_its_end_is_told() {
        let text = anchored().text(&[0xab; 32]);
        for end in 0..text.len() {
            assert!(Anchored::parse(&text[..end]).is_err(), "{end}");
        }
        assert_eq!(Anchored::parse("x\n"), Err(AnchorError::Header));
        let twice = text.replace(&"09".repeat(16), &"02".repeat(16));
        assert_eq!(Anchored::parse(&twice), Err(AnchorError::Line(3)));
    }

    proptest! {
        /// A byte that is another makes it another file, or none: no two texts mean the same.
        #[test]
        fn every_byte_counts(at in any::<proptest::sample::Index>(), flip in 1..128_u8) {
            let mut bytes = anchored().text(&[0xab; 32]).into_bytes();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            if let Ok(text) = String::from_utf8(bytes) {
                prop_assert!(Anchored::parse(&text) != Ok((anchored(), [0xab; 32])));
            }
        }

        #[test]
        fn other_texts_are_refused(text in ".*") {
            prop_assert!(Anchored::parse(&text).is_err() && Accepted::parse(&text).is_err());
        }
    }
}
