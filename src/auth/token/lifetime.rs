//! How long a token lives: pure arithmetic in whole seconds. A time of zero is "not asked for", never "for ever".

use std::time::Duration;

use crate::mount::LeaseTtl;
use crate::time::{Timestamp, go_duration};

/// What is asked for, in seconds; 0 is "nothing asked".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// TTL of a new token, or the increment of a renewal.
    pub ttl_seconds: u64,
    /// The period of a periodic token.
    pub period_seconds: u64,
    /// The most from issue on, whatever the mount allows.
    pub explicit_max_ttl_seconds: u64,
}

/// A TTL that was granted, from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// At least one second.
    pub ttl_seconds: u64,
    /// What was cut, for the client's user.
    pub warnings: Vec<String>,
}

/// Nothing is left of the greatest lifetime, so there is nothing to renew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("past the max TTL, cannot renew")]
pub struct PastMax;

/// Grants a TTL at `now` to a token that was issued at `issued` (the same time for a new one).
///
/// A periodic token gets its period each time, bounded by the explicit maximum only; any other ends, at the latest,
/// the greatest TTL after its issue.
pub fn grant(limits: LeaseTtl, wish: Wish, issued: Timestamp, now: Timestamp) -> Result<Granted, PastMax> {
    let mut warnings = Vec::new();
    let max = limits.at_most(wish.explicit_max_ttl_seconds).max_seconds;
    let (mut ttl, lifetime) = if wish.period_seconds > 0 {
        if wish.period_seconds > max {
            warnings.push(format!(
                "period of \"{}\" exceeded the effective max_ttl of \"{}\"; period value is capped accordingly",
                short(wish.period_seconds),
                short(max)
            ));
        }
        let explicit = wish.explicit_max_ttl_seconds;
        (wish.period_seconds.min(max), (explicit > 0).then_some(explicit))
    } else {
        let ttl = if wish.ttl_seconds > 0 { wish.ttl_seconds } else { limits.default_seconds };
        (ttl, Some(max))
    };
    if let Some(lifetime) = lifetime {
        let left = lifetime.saturating_sub(elapsed_seconds(issued, now));
        if left == 0 {
            return Err(PastMax);
        }
        if ttl > left {
            warnings.push(format!(
                "TTL of \"{}\" exceeded the effective max_ttl of \"{}\"; TTL value is capped accordingly",
                short(ttl),
                short(left)
            ));
            ttl = left;
        }
    }
    if ttl == 0 { Err(PastMax) } else { Ok(Granted { ttl_seconds: ttl, warnings }) }
}

/// Rounded up, so that what is granted never reaches past the maximum. A clock that stepped back counts as no time.
fn elapsed_seconds(issued: Timestamp, now: Timestamp) -> u64 {
    whole_seconds(now.since(issued))
}

/// A duration that a client wrote, in seconds, rounded up: half a second must not become "not asked for".
pub fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0))
}

/// Go's form without the zero parts at the end: `768h`, `1h30m`, `45s`.
fn short(seconds: u64) -> String {
    let text = go_duration(Duration::from_secs(seconds));
    let text = text.strip_suffix("m0s").map_or(text.clone(), |head| format!("{head}m"));
    text.strip_suffix("h0m").map_or(text.clone(), |head| format!("{head}h"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::time::{Clock, ManualClock};

    const HOUR: u64 = 3600;
    const LIMITS: LeaseTtl = LeaseTtl { default_seconds: 768 * HOUR, max_seconds: 768 * HOUR };

    fn new_token(wish: Wish) -> Granted {
        grant(LIMITS, wish, Timestamp(0), Timestamp(0)).unwrap()
    }

    #[test]
    fn new_tokens_get_what_they_ask_for_within_the_limits() {
        let wish = |ttl_seconds, period_seconds, explicit_max_ttl_seconds| Wish {
            ttl_seconds,
            period_seconds,
            explicit_max_ttl_seconds,
        };
        for (wish, ttl_seconds, warned) in [
            (wish(0, 0, 0), 768 * HOUR, false),
            (wish(1800, 0, 0), 1800, false),
            (wish(u64::MAX, 0, 0), 768 * HOUR, true),
            (wish(0, 0, HOUR), HOUR, true),
            (wish(60, 0, HOUR), 60, false),
            (wish(0, HOUR, 0), HOUR, false),
            (wish(60, HOUR, 0), HOUR, false),
            (wish(0, HOUR, 60), 60, true),
            (wish(0, u64::MAX, 0), 768 * HOUR, true),
            (wish(0, 0, u64::MAX), 768 * HOUR, false),
        ] {
            let granted = new_token(wish);
            assert_eq!((granted.ttl_seconds, !granted.warnings.is_empty()), (ttl_seconds, warned), "{wish:?}");
        }
    }

    #[test]
    fn warnings_read_as_clients_know_them() {
        let granted = new_token(Wish { explicit_max_ttl_seconds: HOUR, ..Wish::default() });
        let text = "TTL of \"768h\" exceeded the effective max_ttl of \"1h\"; TTL value is capped accordingly";
        assert_eq!(granted.warnings, [text]);
        let forms = [(0, "0s"), (45, "45s"), (60, "1m"), (90, "1m30s"), (5400, "1h30m"), (3601, "1h0m1s"), (36_000, "10h")];
        for (seconds, text) in forms {
            assert_eq!(short(seconds), text);
        }
    }

    #[test]
    fn renewals_end_at_the_maximum_and_periods_do_not() {
        let clock = ManualClock::new(Timestamp(0));
        let issued = clock.now();
        let limits = LeaseTtl { default_seconds: 600, max_seconds: 1000 };
        let plain = Wish { ttl_seconds: 600, ..Wish::default() };
        let periodic = Wish { period_seconds: 600, ..Wish::default() };
        clock.advance(Duration::from_secs(500));
        assert_eq!(grant(limits, plain, issued, clock.now()).unwrap().ttl_seconds, 500);
        clock.advance(Duration::from_millis(499_500));
        assert_eq!(grant(limits, plain, issued, clock.now()), Err(PastMax), "half a second is not a TTL");
        clock.advance(Duration::from_secs(1_000_000));
        assert_eq!(grant(limits, plain, issued, clock.now()), Err(PastMax));
        assert_eq!(grant(limits, periodic, issued, clock.now()).unwrap().ttl_seconds, 600);
        let bounded = Wish { explicit_max_ttl_seconds: 700, ..periodic };
        assert_eq!(grant(limits, bounded, issued, clock.now()), Err(PastMax));
        clock.set(Timestamp(-5_000_000_000));
        assert_eq!(grant(limits, plain, issued, clock.now()).unwrap().ttl_seconds, 600, "a clock that went back gives no more");
    }

    #[test]
    fn parts_of_a_second_are_not_lost() {
        assert_eq!(whole_seconds(Duration::ZERO), 0);
        assert_eq!(whole_seconds(Duration::from_millis(1)), 1);
        assert_eq!(whole_seconds(Duration::from_millis(1500)), 2);
        assert_eq!(whole_seconds(Duration::MAX), u64::MAX);
    }

    /// Second by second: the last second at which a token that is renewed now may still live.
    fn naive(limits: LeaseTtl, wish: Wish, elapsed: u64) -> Option<u64> {
        let allowed = |second: u64| {
            let age = elapsed + second;
            let max = limits.max_seconds;
            let explicit = wish.explicit_max_ttl_seconds;
            let under_explicit = explicit == 0 || age <= explicit;
            if wish.period_seconds > 0 {
                let one_period = if explicit > 0 { max.min(explicit) } else { max };
                second <= wish.period_seconds && second <= one_period && under_explicit
            } else {
                let asked = if wish.ttl_seconds > 0 { wish.ttl_seconds } else { limits.default_seconds };
                second <= asked && age <= max && under_explicit
            }
        };
        (1..=200).take_while(|second| allowed(*second)).last()
    }

    proptest! {
        #[test]
        fn agrees_with_the_naive_model(
            default_seconds in 1_u64..60, extra in 0_u64..60, ttl_seconds in 0_u64..120,
            period_seconds in 0_u64..120, explicit_max_ttl_seconds in 0_u64..120, elapsed in 0_u64..150,
        ) {
            let limits = LeaseTtl { default_seconds, max_seconds: default_seconds + extra };
            let wish = Wish { ttl_seconds, period_seconds, explicit_max_ttl_seconds };
            let now = Timestamp(0).plus(Duration::from_secs(elapsed));
            let granted = grant(limits, wish, Timestamp(0), now).ok().map(|granted| granted.ttl_seconds);
            prop_assert_eq!(granted, naive(limits, wish, elapsed));
        }
    }
}
