//! Blocks of addresses that a token may be used from (RFC 4632 section 3.1, RFC 4291 section 2.3).

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::answer::Refusal;

/// The most blocks of one token.
pub const CIDRS_MAX: usize = 64;

/// A block of addresses, kept as it is shown: `10.0.0.0/8`; one address is without its length.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    address: IpAddr,
    bits: u8,
}

impl Cidr {
    /// The block of one address.
    pub fn of(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self { address, bits: width(address) }
    }

    /// Reads an address or a block; `None` when it is neither.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().ok()?;
        let bits = match bits {
            None => width(address),
            Some(bits) if bits.len() <= 3 && bits.bytes().all(|byte| byte.is_ascii_digit()) => bits.parse().ok()?,
            Some(_) => return None,
        };
        (bits <= width(address)).then_some(Self { address, bits })
    }

    /// The block with its length, of one address, too: `127.0.0.1/32`.
    pub fn block(&self) -> String {
        format!("{}/{}", self.address, self.bits)
    }

    /// Whether all of `other` is in this block.
    pub fn holds(&self, other: &Self) -> bool {
        self.bits <= other.bits && self.contains(other.address)
    }

    /// Whether the block has this address. An IPv4 address that came mapped into IPv6 counts as what it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (address, own) = (address.to_canonical(), self.address);
        if width(address) != width(own) {
            return false;
        }
        let shift = u32::from(width(own) - self.bits);
        let prefix = |address| number(address).checked_shr(shift).unwrap_or(0);
        prefix(address) == prefix(own)
    }
}

/// Whether an address is in one of the blocks; any is where there are none.
pub fn may_come_from(blocks: &[Cidr], address: IpAddr) -> bool {
    blocks.is_empty() || blocks.iter().any(|block| block.contains(address))
}

/// Reads the blocks of one field.
pub fn parse_list(texts: &[String]) -> Result<Vec<Cidr>, Refusal> {
    if texts.len() > CIDRS_MAX {
        return Err(Refusal::invalid(format!("at most {CIDRS_MAX} address blocks")));
    }
    let parse = |text: &String| {
        let text = text.trim();
        Cidr::parse(text)
            .ok_or_else(|| Refusal::invalid(format!("error parsing address {text:?}: not an address or a CIDR block")))
    };
    texts.iter().filter(|text| !text.trim().is_empty()).map(parse).collect()
}

const fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.bits == width(self.address) {
            return write!(f, "{}", self.address);
        }
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> Self {
        cidr.to_string()
    }
}

impl TryFrom<String> for Cidr {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("not an address block")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_hold_their_addresses_and_no_others() {
        for (block, address, held) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1/32", "127.0.0.2", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("::/0", "::1", true),
            ("::/0", "10.0.0.1", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::1", "::1", true),
        ] {
            let found = Cidr::parse(block).unwrap().contains(address.parse().unwrap());
            assert_eq!(found, held, "{address} in {block}");
        }
    }

    #[test]
    fn what_is_no_block_is_refused() {
        for text in
            ["", "nonsense", "10.0.0.0/33", "10.0.0/8", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/+8", "::/129", "10.0.0.0/8/8"]
        {
            assert_eq!(Cidr::parse(text), None, "{text}");
        }
        assert!(parse_list(&vec!["10.0.0.0/8".to_owned(); CIDRS_MAX + 1]).is_err());
    }

    #[test]
    fn one_address_is_shown_without_its_length() {
        for (given, shown) in [("127.0.0.1/32", "127.0.0.1"), ("::1/128", "::1"), ("10.0.0.0/8", "10.0.0.0/8")] {
            assert_eq!(Cidr::parse(given).unwrap().to_string(), shown);
        }
        assert_eq!(Cidr::of("::ffff:127.0.0.1".parse().unwrap()).to_string(), "127.0.0.1");
    }
}
