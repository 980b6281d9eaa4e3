//! Which trace a request belongs to (W3C Trace Context), and whether it is recorded (the samplers of OpenTelemetry).

use data_encoding::HEXLOWER;

/// The caller's span, as its header `traceparent` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The trace that it belongs to.
    pub trace: [u8; 16],
    /// The span that the request was made in.
    pub span: [u8; 8],
    /// Whether the caller records it.
    pub sampled: bool,
}

impl Parent {
    /// `00-TRACE-SPAN-FLAGS`, in lower-case hexadecimal. `None` of anything else: a new trace begins then, as the standard wants it. A
    /// later version than 00 may go on after the flags.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(5, '-');
        let [version] = hexadecimal(parts.next()?)?;
        let (trace, span, [flags]) = (hexadecimal(parts.next()?)?, hexadecimal(parts.next()?)?, hexadecimal(parts.next()?)?);
        let goes_on = parts.next().is_some();
        if version == 0xff || (version == 0 && goes_on) || trace == [0; 16] || span == [0; 8] {
            return None;
        }
        Some(Self { trace, span, sampled: flags & 1 != 0 })
    }
}

fn hexadecimal<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N {
        return None;
    }
    HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}

/// Which traces are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampler {
    /// How many of 2^63 traces, by their id.
    share: u64,
    /// The caller has decided, where there is one.
    follows_parent: bool,
}

/// All of them.
const ALL: u64 = 1 << 63;

impl Default for Sampler {
    fn default() -> Self {
        Self { share: ALL, follows_parent: true }
    }
}

impl Sampler {
    /// By its name in `OTEL_TRACES_SAMPLER`; `argument` is the share of the two that have one, from 0 to 1. `None` of an unknown one, or of
    /// a share that is none.
    pub fn named(name: &str, argument: Option<&str>) -> Option<Self> {
        let (kind, follows_parent) = name.strip_prefix("parentbased_").map_or((name, false), |kind| (kind, true));
        let share = match kind {
            "always_on" => ALL,
            "always_off" => 0,
            "traceidratio" => share(argument.unwrap_or("1"))?,
            _ => return None,
        };
        Some(Self { share, follows_parent })
    }

    /// Whether a trace is recorded. Servers with the same share decide the same of one trace.
    pub(super) fn takes(self, trace: &[u8; 16], parent: Option<&Parent>) -> bool {
        if let (true, Some(parent)) = (self.follows_parent, parent) {
            return parent.sampled;
        }
        let [_, _, _, _, _, _, _, _, id @ ..] = trace;
        u64::from_be_bytes(*id) >> 1 < self.share
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 2^63")]
fn share(argument: &str) -> Option<u64> {
    let ratio: f64 = argument.parse().ok()?;
    (0.0..=1.0).contains(&ratio).then(|| (ratio * 2_f64.powi(63)) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    #[test]
    fn a_parent_is_what_the_standard_says_and_nothing_else() {
        let parent = Parent::parse(&format!("00-{TRACE}-{SPAN}-01")).unwrap();
        assert_eq!(HEXLOWER.encode(&parent.trace), TRACE);
        assert_eq!((HEXLOWER.encode(&parent.span).as_str(), parent.sampled), (SPAN, true));
        for (text, sampled) in [
            (format!("00-{TRACE}-{SPAN}-00"), false),
            (format!("00-{TRACE}-{SPAN}-ff"), true),
            (format!("cc-{TRACE}-{SPAN}-02"), false),
            (format!("cc-{TRACE}-{SPAN}-01-what-comes-later"), true),
        ] {
            assert_eq!(Parent::parse(&text).map(|parent| parent.sampled), Some(sampled), "{text}");
        }
        for text in [
            String::new(),
            "00".to_owned(),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("00-{TRACE}-{SPAN}-01-"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("0-{TRACE}-{SPAN}-01"),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{}-{SPAN}-01", "0".repeat(32)),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
            format!("00-{}-{SPAN}-01", &TRACE[2..]),
            format!("00-{TRACE}-{SPAN}xx-01"),
            format!(" 00-{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}-0g"),
        ] {
            assert_eq!(Parent::parse(&text), None, "{text}");
        }
    }

    #[test]
    fn samplers_take_the_share_that_they_are_told_and_follow_the_caller_where_they_should() {
        let id = |number: u64| {
            let mut trace = [7; 16];
            trace[8..].copy_from_slice(&number.to_be_bytes());
            trace
        };
        let parent = |sampled| Parent { trace: [1; 16], span: [1; 8], sampled };
        let sampler = |name, argument| Sampler::named(name, argument).unwrap();
        assert_eq!(Sampler::default(), sampler("parentbased_always_on", None));
        for (name, argument, low, high, of_unsampled, of_sampled) in [
            ("always_on", None, true, true, true, true),
            ("always_off", None, false, false, false, false),
            ("parentbased_always_on", None, true, true, false, true),
            ("parentbased_always_off", None, false, false, false, true),
            ("traceidratio", Some("0.5"), true, false, false, false),
            ("parentbased_traceidratio", Some("0.5"), true, false, false, true),
            ("traceidratio", Some("0"), false, false, false, false),
            ("traceidratio", Some("1"), true, true, true, true),
            ("traceidratio", None, true, true, true, true),
        ] {
            let sampler = sampler(name, argument);
            let taken = [
                sampler.takes(&id(1), None),
                sampler.takes(&id(u64::MAX), None),
                sampler.takes(&id(u64::MAX), Some(&parent(false))),
                sampler.takes(&id(u64::MAX), Some(&parent(true))),
            ];
            assert_eq!(taken, [low, high, of_unsampled, of_sampled], "{name} {argument:?}");
        }
        for (name, argument) in [
            ("", None),
            ("xray", None),
            ("traceidratio", Some("1.1")),
            ("traceidratio", Some("-0.1")),
            ("traceidratio", Some("x")),
        ] {
            assert_eq!(Sampler::named(name, argument), None, "{name} {argument:?}");
        }
        assert_eq!(Sampler::named("traceidratio", Some("NaN")), None);
    }
}
