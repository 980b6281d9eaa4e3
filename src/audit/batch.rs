//! A batch: the events of one tenant in one group commit, as they are compressed before `crypto/` pads and seals them.
//!
//! Form: format (1 byte, 1) ‖ number of events (u32) ‖ length before compression (u32) ‖ one zstd frame (RFC 8878) of
//! all events, each as length (u32) ‖ canonical bytes. Numbers are big-endian.

use zstd::bulk::{Compressor, Decompressor};

const FORMAT: u8 = 1;
/// The most bytes that a batch may hold before compression.
pub const BYTES_MAX: usize = 64 << 20;
/// The most events in one batch.
pub const EVENTS_MAX: usize = 1 << 16;
/// Fast enough not to matter beside a commit; higher levels gain little on short texts.
const LEVEL: i32 = 1;

/// Why a batch was not written or not read.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// More than `EVENTS_MAX` events or `BYTES_MAX` bytes: the caller has to commit in smaller groups.
    #[error("an audit batch of {events} events and {bytes} bytes is over the limit")]
    TooLarge {
        /// Number of events.
        events: usize,
        /// Bytes before compression.
        bytes: usize,
    },
    /// Written by a newer version.
    #[error("an audit batch has format {0}, which is not known here")]
    Format(u8),
    /// The bytes opened and are still not a batch: a flaw of the software that wrote them.
    #[error("an audit batch is malformed: {0}")]
    Malformed(&'static str),
    /// The compressor failed: out of memory, or not a frame.
    #[error("an audit batch could not be compressed or decompressed")]
    Zstd(#[source] std::io::Error),
}

/// Writes batches, keeping the compressor's memory from one to the next. One for each committer.
pub struct BatchEncoder {
    compressor: Compressor<'static>,
    plain: Vec<u8>,
}

impl BatchEncoder {
    /// Allocates the compressor.
    pub fn new() -> Result<Self, BatchError> {
        Ok(Self { compressor: Compressor::new(LEVEL).map_err(BatchError::Zstd)?, plain: Vec::new() })
    }

    /// The compressed batch of `events` (canonical bytes, in log order).
    pub fn encode<'e>(&mut self, events: impl IntoIterator<Item = &'e [u8]>) -> Result<Vec<u8>, BatchError> {
        self.plain.clear();
        let mut count = 0_usize;
        for event in events {
            count += 1;
            let length = u32::try_from(event.len()).ok().filter(|_| self.plain.len() + 4 + event.len() <= BYTES_MAX);
            match length.filter(|_| count <= EVENTS_MAX) {
                Some(length) => self.plain.extend_from_slice(&length.to_be_bytes()),
                None => return Err(BatchError::TooLarge { events: count, bytes: self.plain.len() + event.len() }),
            }
            self.plain.extend_from_slice(event);
        }
        self.compress(count)
    }

    fn compress(&mut self, count: usize) -> Result<Vec<u8>, BatchError> {
        let too_large = |_| BatchError::TooLarge { events: count, bytes: self.plain.len() };
        let header = [u32::try_from(count).map_err(too_large)?, u32::try_from(self.plain.len()).map_err(too_large)?];
        let frame = self.compressor.compress(&self.plain).map_err(BatchError::Zstd)?;
        let mut batch = Vec::with_capacity(9 + frame.len());
        batch.push(FORMAT);
        batch.extend(header.iter().flat_map(|number| number.to_be_bytes()));
        batch.extend_from_slice(&frame);
        Ok(batch)
    }
}

/// Reads batches, keeping memory from one to the next.
pub struct BatchDecoder {
    decompressor: Decompressor<'static>,
    plain: Vec<u8>,
    /// Where in it each event begins and ends.
    spans: Vec<(usize, usize)>,
}

/// The events of a batch, in log order.
#[derive(Clone, Copy)]
pub struct Events<'a> {
    plain: &'a [u8],
    spans: &'a [(usize, usize)],
}

impl BatchDecoder {
    /// Allocates the decompressor.
    pub fn new() -> Result<Self, BatchError> {
        Ok(Self { decompressor: Decompressor::new().map_err(BatchError::Zstd)?, plain: Vec::new(), spans: Vec::new() })
    }

    /// The events of a batch. Memory is bounded by `BYTES_MAX` and `EVENTS_MAX` whatever the bytes claim.
    pub fn decode(&mut self, batch: &[u8]) -> Result<Events<'_>, BatchError> {
        let (format, rest) = batch.split_first().ok_or(BatchError::Malformed("it is empty"))?;
        if *format != FORMAT {
            return Err(BatchError::Format(*format));
        }
        let (count, rest) = take_number(rest)?;
        let (length, frame) = take_number(rest)?;
        if count > EVENTS_MAX || length > BYTES_MAX {
            return Err(BatchError::TooLarge { events: count, bytes: length });
        }
        self.plain.clear();
        self.plain.reserve_exact(length);
        self.decompressor.decompress_to_buffer(frame, &mut self.plain).map_err(BatchError::Zstd)?;
        if self.plain.len() != length {
            return Err(BatchError::Malformed("its length is not the one announced"));
        }
        self.spans.clear();
        let mut rest = self.plain.as_slice();
        while !rest.is_empty() {
            let (event, tail) = take_number(rest)?;
            let (_, tail) = tail.split_at_checked(event).ok_or(BatchError::Malformed("an event is cut off"))?;
            if self.spans.len() == count {
                return Err(BatchError::Malformed("it has more events than announced"));
            }
            let end = length - tail.len();
            self.spans.push((end - event, end));
            rest = tail;
        }
        if self.spans.len() != count {
            return Err(BatchError::Malformed("it has fewer events than announced"));
        }
        Ok(Events { plain: &self.plain, spans: &self.spans })
    }
}

impl<'a> Events<'a> {
    /// How many they are.
    pub fn len(self) -> usize {
        self.spans.len()
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.spans.is_empty()
    }

    /// The canonical bytes of each.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = &'a [u8]> + ExactSizeIterator {
        self.spans.iter().map(move |(start, end)| self.plain.get(*start..*end).unwrap_or_default())
    }
}

/// The canonical bytes of every event of a batch, in log order.
pub fn decode(batch: &[u8]) -> Result<Vec<Vec<u8>>, BatchError> {
    Ok(BatchDecoder::new()?.decode(batch)?.iter().map(<[u8]>::to_vec).collect())
}

fn take_number(bytes: &[u8]) -> Result<(usize, &[u8]), BatchError> {
    let (number, rest) = bytes.split_first_chunk().ok_or(BatchError::Malformed("a number is cut off"))?;
    let number = usize::try_from(u32::from_be_bytes(*number)).map_err(|_| BatchError::Malformed("a number is too large"))?;
    Ok((number, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(events: &[Vec<u8>]) -> Result<Vec<u8>, BatchError> {
        BatchEncoder::new().unwrap().encode(events.iter().map(Vec::as_slice))
    }

    fn framed(count: u32, length: u32, plain: &[u8]) -> Vec<u8> {
        let frame = zstd::bulk::compress(plain, LEVEL).unwrap();
        [&[FORMAT][..], &count.to_be_bytes(), &length.to_be_bytes(), &frame].concat()
    }

    #[test]
    fn an_encoder_serves_many_batches() {
        let mut encoder = BatchEncoder::new().unwrap();
        for size in [0, 1, 100, 3] {
            let events: Vec<Vec<u8>> = (0..size).map(|at| format!("{{\"event\":{at}}}").into_bytes()).collect();
            let batch = encoder.encode(events.iter().map(Vec::as_slice)).unwrap();
            assert_eq!(decode(&batch).unwrap(), events);
        }
    }

    #[test]
    fn a_decoder_serves_many_batches() {
        let mut decoder = BatchDecoder::new().unwrap();
        for size in [100, 0, 3, 1] {
            let events: Vec<Vec<u8>> = (0..size).map(|at| format!("{{\"event\":{at}}}").into_bytes()).collect();
            let batch = encode(&events).unwrap();
            let found = decoder.decode(&batch).unwrap();
            assert_eq!((found.len(), found.is_empty()), (size, size == 0));
            assert!(found.iter().eq(events.iter().map(Vec::as_slice)));
            // What an earlier batch has left makes nothing of a later one longer than it says.
            assert!(decoder.decode(&framed(1, 7, &[&4_u32.to_be_bytes()[..], b"{\"\"}"].concat())).is_err());
        }
    }

    #[test]
    fn limits_hold_on_writing() {
        assert!(matches!(encode(&vec![Vec::new(); EVENTS_MAX + 1]), Err(BatchError::TooLarge { events: 65_537, .. })));
        assert_eq!(decode(&encode(&vec![Vec::new(); EVENTS_MAX]).unwrap()).unwrap().len(), EVENTS_MAX);
        assert!(matches!(encode(&[vec![0; BYTES_MAX - 4], Vec::new()]), Err(BatchError::TooLarge { events: 2, .. })));
        assert!(encode(&[vec![0; BYTES_MAX - 4]]).is_ok());
    }

    #[test]
    fn malformed_batches_are_refused() {
        let event = [&4_u32.to_be_bytes()[..], b"{\"\"}"].concat();
        assert_eq!(decode(&framed(1, 8, &event)).unwrap(), [b"{\"\"}"]);
        for (what, bad) in [
            ("nothing", Vec::new()),
            ("another format", [&[2][..], &framed(1, 8, &event)[1..]].concat()),
            ("half a header", framed(1, 8, &event)[..6].to_vec()),
            ("half a frame", framed(1, 8, &event)[..15].to_vec()),
            ("fewer bytes than announced", framed(1, 9, &event)),
            ("more bytes than announced", framed(1, 7, &event)),
            ("fewer events than announced", framed(2, 8, &event)),
            ("more events than announced", framed(0, 8, &event)),
            ("an event that is cut off", framed(1, 7, &event[..7])),
            ("a length that is cut off", framed(1, 3, &event[..3])),
            ("bytes after the frame", [framed(1, 8, &event), vec![1, 2, 3]].concat()),
        ] {
            assert!(decode(&bad).is_err(), "{what}");
        }
    }

    #[test]
    fn a_bomb_is_refused_before_it_grows() {
        let bomb = |count, length| framed(count, length, &vec![0; BYTES_MAX + 1]);
        assert!(matches!(decode(&bomb(1, u32::MAX)), Err(BatchError::TooLarge { .. })));
        assert!(matches!(decode(&bomb(1, 1000)), Err(BatchError::Zstd(_))));
        assert!(matches!(decode(&bomb(u32::MAX, 0)), Err(BatchError::TooLarge { .. })));
    }

    proptest! {
        #[test]
        fn batches_survive_and_damage_never_panics(
            events in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..20),
            at in any::<proptest::sample::Index>(),
            flip in 1..=255_u8,
            noise in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            let mut batch = encode(&events).unwrap();
            prop_assert_eq!(&decode(&batch).unwrap(), &events);
            let at = at.index(batch.len());
            batch[at] ^= flip;
            // Compression is no checksum: some damage decodes to other events. It must only never panic.
            let _ = decode(&batch);
            prop_assert!(decode(&[&[FORMAT][..], &noise].concat()).is_err());
        }
    }
}
