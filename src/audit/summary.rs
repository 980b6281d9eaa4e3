//! What a batch is about, small enough to be opened in its place: a Bloom filter over the terms of its events. A search
//! skips the batches whose summary says that a term is in none of their events; it never misses one that has it.
//!
//! Form: format (1 byte, 1) ‖ the filter's bits. A term of 64 bits sets the bits `(low + i * high) mod n` for `i` from 0 to 5,
//! where `low` and `high` are its halves (`high` made odd) and `n` is the number of bits (Kirsch and Mitzenmacher, "Less
//! Hashing, Same Performance", ESA 2006). Terms are hashes without a key: summaries are sealed.

use std::fmt::Display;
use std::io::Write as _;

use super::event::Event;

const FORMAT: u8 = 1;
/// A summary costs a box of its own: batches with fewer events are opened instead.
pub const EVENTS_MIN: usize = 8;
/// The longest summary, in bytes: that of some 8,000 events.
pub const BYTES_MAX: usize = 64 << 10;
/// With six hashes one look-up in a hundred is in vain.
const BITS_PER_TERM: usize = 10;
const HASHES: u64 = 6;

/// A hash of one thing that an event says. Stored as bits of filters, so it is the same for ever.
pub type Term = u64;

/// What can be looked up in a summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aspect {
    /// The whole path.
    Path = 1,
    /// A part of the path up to a slash, the slash included.
    Folder = 2,
    /// The accessor, display name, certificate (hexadecimal) or address (without port) of whoever asked.
    Caller = 3,
    /// The operation.
    Operation = 4,
    /// The HTTP status, as decimal text.
    Status = 5,
    /// The word of a refusal.
    Error = 6,
    /// The hash of a reference, 32 bytes.
    Reference = 7,
    /// The request id.
    Request = 8,
    /// Id of the entity that the caller's token stands for.
    Entity = 9,
}

/// The term for something that an event says.
pub fn term(aspect: Aspect, value: &[u8]) -> Term {
    match aspect {
        Aspect::Path | Aspect::Folder => finish(aspect, value.split_inclusive(|byte| *byte == b'/').fold(0, mixed)),
        _ => finish(aspect, mixed(0, value)),
    }
}

/// The term for a value as text: an address or a number, none of which is longer than the buffer.
fn term_of(aspect: Aspect, value: impl Display) -> Term {
    let mut buffer = [0; 64];
    let mut rest = buffer.as_mut_slice();
    let whole = write!(rest, "{value}").is_ok();
    debug_assert!(whole, "a text of a term is longer than the buffer");
    let written = 64 - rest.len();
    term(aspect, buffer.get(..written).unwrap_or_default())
}

/// All terms of an event; repeated ones are possible.
pub fn terms(event: &Event) -> Vec<Term> {
    let mut terms = Vec::with_capacity(20);
    let mut walked = 0;
    for part in event.path.as_bytes().split_inclusive(|byte| *byte == b'/') {
        walked = mixed(walked, part);
        if part.ends_with(b"/") {
            terms.push(finish(Aspect::Folder, walked));
        }
    }
    terms.push(finish(Aspect::Path, walked));
    if let Some(caller) = &event.caller {
        terms.push(term(Aspect::Caller, caller.accessor.as_bytes()));
        terms.push(term(Aspect::Caller, caller.display_name.as_bytes()));
        terms.extend(caller.entity.as_ref().map(|entity| term(Aspect::Entity, entity.as_bytes())));
    }
    if let Some(certificate) = &event.certificate {
        let mut digits = [0; 64];
        data_encoding::HEXLOWER.encode_mut(certificate, &mut digits);
        terms.push(term(Aspect::Caller, &digits));
    }
    if let Some(remote) = event.remote {
        terms.push(term_of(Aspect::Caller, remote.ip()));
    }
    terms.push(term(Aspect::Operation, event.operation.as_str().as_bytes()));
    terms.push(term(Aspect::Request, event.request.as_bytes()));
    terms.extend(terms_of_outcome(event));
    terms
}

/// Those that may differ from the terms of another event of the same request.
pub fn terms_of_outcome(event: &Event) -> impl Iterator<Item = Term> {
    let status = term_of(Aspect::Status, event.status);
    let error = event.error.as_ref().map(|word| term(Aspect::Error, word.as_str().as_bytes()));
    let reference = event.reference.map(|hash| term(Aspect::Reference, &hash));
    std::iter::once(status).chain(error).chain(reference)
}

/// The summary of the events that have these terms.
pub fn encode(mut terms: Vec<Term>) -> Vec<u8> {
    terms.sort_unstable();
    terms.dedup();
    let bytes = (terms.len() * BITS_PER_TERM).div_ceil(8).clamp(1, BYTES_MAX);
    let mut summary = vec![0; 1 + bytes];
    if let Some((format, filter)) = summary.split_first_mut() {
        *format = FORMAT;
        for at in terms.iter().flat_map(|term| bits(*term, bytes)) {
            if let Some(byte) = filter.get_mut(at / 8) {
                *byte |= 1 << (at % 8);
            }
        }
    }
    summary
}

/// Whether an event of the batch may have this term. What is no summary, or of a newer form, excludes nothing.
pub fn may_have(summary: &[u8], term: Term) -> bool {
    match summary.split_first() {
        Some((&FORMAT, filter)) if !filter.is_empty() => {
            bits(term, filter.len()).all(|at| filter.get(at / 8).is_none_or(|byte| byte & (1 << (at % 8)) != 0))
        }
        _ => true,
    }
}

fn bits(term: Term, bytes: usize) -> impl Iterator<Item = usize> {
    let (low, high) = (term & 0xffff_ffff, (term >> 32) | 1);
    let count = (bytes as u64).saturating_mul(8).max(1);
    (0..HASHES).map(move |i| usize::try_from((low + i * high) % count).unwrap_or(0))
}

/// Takes eight bytes at a time, and the length, so that parts do not run into each other.
fn mixed(state: u64, bytes: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let step = |state: u64, word: u64| (state.rotate_left(5) ^ word).wrapping_mul(FACTOR);
    let (words, rest) = bytes.as_chunks::<8>();
    let state = words.iter().fold(state, |state, word| step(state, u64::from_be_bytes(*word)));
    let mut last = [0; 8];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    step(step(state, u64::from_be_bytes(last)), bytes.len() as u64)
}

/// The finaliser of `MurmurHash3`: every bit of the state reaches every bit of the term.
fn finish(aspect: Aspect, state: u64) -> Term {
    let mut hash = state ^ ((aspect as u64) << 56);
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        hash = (hash ^ (hash >> 33)).wrapping_mul(factor);
    }
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Terms are stored, so they must stay as they are.
    #[test]
    fn the_form_is_fixed() {
        assert_eq!(term(Aspect::Path, b"secret/data/a"), FIXED[0]);
        assert_eq!(term(Aspect::Caller, b"root"), FIXED[1]);
        assert_eq!(encode(vec![FIXED[0], FIXED[1], FIXED[0]]), FIXED_SUMMARY);
    }

    const FIXED: [u64; 2] = [0x74f0_59c0_1aab_d83e, 0x40e4_9157_535a_2e82];
    const FIXED_SUMMARY: [u8; 4] = [1, 226, 143, 68];

    #[test]
    fn aspects_and_parts_are_told_apart() {
        assert_ne!(term(Aspect::Path, b"a/"), term(Aspect::Folder, b"a/"));
        assert_ne!(term(Aspect::Status, b"200"), term(Aspect::Request, b"200"));
        assert_ne!(term(Aspect::Path, b"a/b"), term(Aspect::Path, b"a//b"));
        assert_ne!(term(Aspect::Caller, b"a"), term(Aspect::Caller, b"a\0"));
    }

    #[test]
    fn one_look_in_fifty_at_most_is_in_vain() {
        let term_of = |at: u32| term(Aspect::Request, &at.to_be_bytes());
        let summary = encode((0..2_000).map(term_of).collect());
        let in_vain = (2_000..12_000).filter(|at| may_have(&summary, term_of(*at))).count();
        assert!(in_vain < 200, "{in_vain} of 10,000");
    }

    #[test]
    fn what_is_no_summary_excludes_nothing() {
        for summary in [&[][..], &[1], &[2, 0, 0], &[0]] {
            assert!(may_have(summary, 7), "{summary:?}");
        }
        assert!(!may_have(&[1, 0], 7));
    }

    proptest! {
        #[test]
        fn no_term_of_a_batch_is_ever_excluded(terms in proptest::collection::vec(any::<u64>(), 0..400)) {
            let summary = encode(terms.clone());
            prop_assert!(summary.len() <= 1 + BYTES_MAX);
            for term in terms {
                prop_assert!(may_have(&summary, term));
            }
        }

        #[test]
        fn any_bytes_can_be_asked(summary in proptest::collection::vec(any::<u8>(), 0..50), term in any::<u64>()) {
            let _ = may_have(&summary, term);
        }
    }
}
