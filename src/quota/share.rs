//! Which part of a limit this server has, where several count by the same rules.
//!
//! Each has the same part, as long as that is enough. A server that is asked for more of some count than half of that tells the others with its
//! next sign of life what it claims, and they tell of that count, too, from then on. With each sign of life a server
//!
//! 1. works out what it claims, from what all are asked for; what is less than before counts for it at once;
//! 2. says so, and it is stored;
//! 3. reads what all others say, and only then uses more than before: its claim, or what the others' claims leave of the limit.
//!
//! So at no time do servers that hear of each other use more than the limit together (or one request each, where it is less): of two that take
//! more, the one that reads later sees what the other said before. Nobody claims less than was used in the interval already.
//! Not guaranteed: intervals of servers begin apart; a server that has just come is not known to the others until their next sign of life; what
//! a server let pass that is gone is forgotten, as after a restart.

use std::time::Duration;

use super::buckets::{All, Bucket, Buckets, SHARED_MAX};
use super::claims::{Claim, Id, Seat, decode, encode};

/// Until servers have agreed on other parts, as a rule.
pub(super) const SETTLED: Duration = Duration::from_secs(3);

/// This server's part of one limit.
#[derive(Debug)]
pub(super) struct Share {
    claimed: u64,
    /// What may be used now: the claim at most.
    pub(super) usable: u64,
    /// What other servers are asked for.
    pub(super) asked_elsewhere: u64,
    /// It goes back to the part that all have, and is not told any more.
    leaving: bool,
}

impl Share {
    /// The part that all have.
    pub(super) fn of(even: u64) -> Self {
        Self { claimed: even, usable: even, asked_elsewhere: 0, leaving: false }
    }
}

impl Buckets {
    /// What the other servers are to be told at `now`. What this server claims less than before it has less from now on.
    pub fn word(&self, now: Duration) -> Vec<u8> {
        let all = &mut *self.all();
        if all.seat.servers < 2 {
            return Vec::new();
        }
        all.adopt();
        let All { buckets, shared, others, seat, .. } = all;
        let claims = shared.iter().filter_map(|id| {
            let bucket = buckets.get_mut(id)?;
            let told = others.get(id).map_or(&[][..], Vec::as_slice);
            bucket.claim(*seat, told, now).map(|(limit, claimed, asked, hot)| Claim { id: *id, limit, claimed, asked, hot })
        });
        encode(claims)
    }

    /// Takes the words of all servers, this one's at the place `own` among them: its last one is stored. True when others wait for a word of this one:
    /// they may have more of something once it says that it has less.
    pub fn heard(&self, words: &[&[u8]], own: usize) -> bool {
        let all = &mut *self.all();
        all.seat = Seat { place: own, servers: words.len().max(1) };
        all.others.clear();
        for (place, word) in words.iter().enumerate().filter(|(place, _)| *place != own) {
            for claim in decode(word).take(SHARED_MAX) {
                all.others.entry(claim.id).or_default().push((place, claim));
            }
        }
        let All { buckets, shared, others, seat, .. } = all;
        shared.retain(|id| {
            let Some(bucket) = buckets.get_mut(id) else { return false };
            let told = others.get(id).map_or(&[][..], Vec::as_slice);
            let stays = bucket.settle(*seat, told);
            if !stays && bucket.is_foreign() {
                buckets.remove(id);
            }
            stays
        });
        let is_waited_for =
            |(id, told): (&Id, &Vec<(usize, Claim)>)| told.iter().any(|(_, claim)| claim.hot) && !shared.contains(id);
        shared.len() < SHARED_MAX && others.iter().any(is_waited_for)
    }
}

impl All {
    /// Tells of what others are asked for much of, too: they have more only when everybody says that they have less.
    fn adopt(&mut self) {
        for (id, told) in &self.others {
            let Some((_, claim)) = told.iter().find(|(_, claim)| claim.hot) else { continue };
            if self.shared.contains(id) || self.shared.len() >= SHARED_MAX {
                continue;
            }
            let bucket = self.buckets.entry(*id).or_default();
            if bucket.limit == 0 {
                bucket.limit = claim.limit.max(1);
            }
            bucket.share = Some(Share::of(self.seat.even(bucket.limit)));
            self.shared.insert(*id);
        }
    }
}

impl Bucket {
    /// Limit, claim, demand, and whether it is hot. None: this server has what all have, and need not say so.
    fn claim(&mut self, seat: Seat, told: &[(usize, Claim)], now: Duration) -> Option<(u64, u64, u64, bool)> {
        let (limit, used, asked) = (self.limit, self.used(now), self.asked(now));
        let even = seat.even(limit);
        let hot = self.is_hot(even, now);
        let share = self.share.as_mut()?;
        share.leaving = !hot && used <= even && !told.iter().any(|(_, claim)| claim.hot);
        let elsewhere: u128 = told.iter().map(|(_, claim)| u128::from(claim.asked.min(limit))).sum();
        let wanted = if share.leaving { even } else { seat.wanted(limit, asked, elsewhere + u128::from(asked)) };
        share.claimed = wanted.max(used);
        share.usable = share.usable.min(share.claimed);
        (!share.leaving).then_some((limit, share.claimed, asked, hot))
    }

    /// What the others' claims leave. False when there is nothing to tell any more.
    fn settle(&mut self, seat: Seat, told: &[(usize, Claim)]) -> bool {
        let Some(share) = &mut self.share else { return false };
        if seat.servers < 2 || (share.leaving && told.is_empty()) {
            self.share = None;
            return false;
        }
        share.asked_elsewhere = told.iter().map(|(_, claim)| claim.asked).fold(0, u64::saturating_add);
        share.usable = share.claimed.min(self.limit.saturating_sub(seat.others(self.limit, told))).max(1);
        true
    }
}

#[cfg(test)]
#[path = "share_tests.rs"]
mod tests;
