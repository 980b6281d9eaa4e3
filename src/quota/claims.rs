//! What servers tell each other of their parts of rate limits, and how large these parts are.
//!
//!     word = format 1 (1) ‖ claims
//!     claim = id (16) ‖ limit (8) ‖ claimed (8) ‖ asked (8) ‖ hot (1)
//!
//! Numbers are big-endian. A word that is not of this form claims nothing.

const FORMAT: u8 = 1;
const CLAIM_BYTES: usize = 41;
/// What is kept for servers that nobody asks, of the part that each had if all were the same: a tenth.
const FLOOR_PARTS: u64 = 10;

/// Which count of which rule, as a keyed hash: the database does not learn names and addresses.
pub type Id = [u8; 16];

/// What a server has of one limit, as it tells others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) id: Id,
    /// Requests in an interval.
    pub(super) limit: u64,
    /// The most of them that the server lets pass.
    pub(super) claimed: u64,
    /// How many it was asked for.
    pub(super) asked: u64,
    /// It is asked for so much that its part matters.
    pub(super) hot: bool,
}

/// The place of a server among those that live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seat {
    /// From 0.
    pub(super) place: usize,
    /// At least 1.
    pub(super) servers: usize,
}

impl Default for Seat {
    fn default() -> Self {
        Self { place: 0, servers: 1 }
    }
}

impl Seat {
    /// The part of who claims nothing: the same for all, and what does not divide goes to the first.
    pub(super) fn even(self, limit: u64) -> u64 {
        let servers = self.servers.max(1) as u64;
        (limit / servers + u64::from((self.place as u64) < limit % servers)).max(1)
    }

    /// What a server claims that was asked for `asked` of `all`: as long as there is enough, that and the same part of the rest for each;
    /// past it a part by demand, above a floor. Together these are the limit at most, or one each.
    pub(super) fn wanted(self, limit: u64, asked: u64, all: u128) -> u64 {
        let servers = self.servers.max(1) as u64;
        let floor = (limit / FLOOR_PARTS.saturating_mul(servers)).max(1);
        let shared = limit.saturating_sub(floor.saturating_mul(servers));
        if all <= u128::from(shared) {
            let rest = u64::try_from(u128::from(limit) - all).unwrap_or(limit);
            return (asked + rest / servers).max(1);
        }
        let part = u128::from(shared) * u128::from(asked) / all.max(1);
        floor + u64::try_from(part).unwrap_or(shared)
    }

    /// What the other servers have of a limit: those of `told` as they say, the rest as who claims nothing.
    pub(super) fn others(self, limit: u64, told: &[(usize, Claim)]) -> u64 {
        let part = |place| {
            let told = told.iter().find(|(teller, _)| *teller == place);
            told.map_or_else(|| Self { place, ..self }.even(limit), |(_, claim)| claim.claimed)
        };
        (0..self.servers).filter(|place| *place != self.place).map(part).fold(0, u64::saturating_add)
    }
}

pub(super) fn encode(claims: impl Iterator<Item = Claim>) -> Vec<u8> {
    let mut word = vec![FORMAT];
    for Claim { id, limit, claimed, asked, hot } in claims {
        word.extend(id);
        word.extend([limit, claimed, asked].map(u64::to_be_bytes).concat());
        word.push(u8::from(hot));
    }
    word
}

pub(super) fn decode(word: &[u8]) -> impl Iterator<Item = Claim> {
    let claims = match word.split_first() {
        Some((&FORMAT, claims)) => claims,
        _ => &[],
    };
    claims.as_chunks::<CLAIM_BYTES>().0.iter().filter_map(|bytes| {
        let (id, rest) = bytes.split_first_chunk()?;
        let (limit, rest) = rest.split_first_chunk()?;
        let (claimed, rest) = rest.split_first_chunk()?;
        let (asked, rest) = rest.split_first_chunk()?;
        let [limit, claimed, asked] = [limit, claimed, asked].map(|number| u64::from_be_bytes(*number));
        Some(Claim { id: *id, limit, claimed, asked, hot: rest == [1] })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn claim() -> impl Strategy<Value = Claim> {
        let parts = (any::<Id>(), any::<u64>(), any::<u64>(), any::<u64>(), any::<bool>());
        parts.prop_map(|(id, limit, claimed, asked, hot)| Claim { id, limit, claimed, asked, hot })
    }

    proptest! {
        #[test]
        fn what_is_told_is_understood(claims in proptest::collection::vec(claim(), 0..9), cut in 0_usize..CLAIM_BYTES) {
            let mut word = encode(claims.iter().copied());
            prop_assert_eq!(decode(&word).collect::<Vec<_>>(), claims.clone());
            word.extend(vec![7; cut]);
            prop_assert_eq!(decode(&word).count(), claims.len());
            word[0] = 2;
            prop_assert_eq!(decode(&word).count(), 0);
        }

        #[test]
        fn whatever_is_told_is_read_without_harm(word in proptest::collection::vec(any::<u8>(), 0..200)) {
            let all = decode(&word).count();
            prop_assert!(all <= word.len() / CLAIM_BYTES);
        }

        /// However much is asked of whom, the parts are the limit at most, or one each.
        #[test]
        fn parts_together_are_the_limit_at_most(limit in 1_u64.., asked in proptest::collection::vec(0_u64..=u64::MAX, 1..9)) {
            let servers = asked.len();
            let seat = |place| Seat { place, servers };
            let all: u128 = asked.iter().map(|asked| u128::from((*asked).min(limit))).sum();
            let wanted = asked.iter().enumerate().map(|(at, asked)| u128::from(seat(at).wanted(limit, (*asked).min(limit), all)));
            let even = (0..servers).map(|at| u128::from(seat(at).even(limit)));
            let most = u128::from(limit).max(servers as u128);
            prop_assert!(wanted.sum::<u128>() <= most);
            prop_assert_eq!(even.sum::<u128>(), most);
        }
    }

    #[test]
    fn who_is_asked_has_more_and_nobody_has_nothing() {
        let seat = Seat { place: 0, servers: 4 };
        let parts = |asked: [u64; 4]| asked.map(|own| seat.wanted(400, own, asked.iter().map(|asked| u128::from(*asked)).sum()));
        assert_eq!(parts([0; 4]), [100; 4]);
        assert_eq!(parts([200, 0, 0, 0]), [250, 50, 50, 50]);
        assert_eq!(parts([400, 0, 0, 0]), [370, 10, 10, 10]);
        assert_eq!(parts([400, 400, 0, 0]), [190, 190, 10, 10]);
        assert_eq!(parts([400; 4]), [100; 4]);
        assert_eq!(seat.wanted(1, 1, 1), 1);
    }
}
