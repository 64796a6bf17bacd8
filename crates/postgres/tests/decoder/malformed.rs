//! What real servers sent, made malformed by seeds that replay.

use proptest::prelude::*;
use proptest::sample::Index;

use super::corpus::{COLUMNS, CONNECTIONS, Seed};
use super::format::{HEADER, frames, push_frame};
use super::targets;

/// One change of a sequence of frames.
#[derive(Debug, Clone)]
enum Change {
    /// Cuts a frame short.
    Cut {
        frame: Index,
        at: Index,
    },
    /// Puts a byte somewhere.
    Byte {
        frame: Index,
        at: Index,
        byte: u8,
    },
    /// Puts a number that is the edge of something over bytes: counts and lengths are 2 or 4 bytes wide.
    Number {
        frame: Index,
        at: Index,
        bytes: Vec<u8>,
    },
    /// Puts a tag in place of the message's.
    Tag {
        frame: Index,
        tag: u8,
    },
    /// Puts the end of one frame behind the start of another.
    Splice {
        frame: Index,
        at: Index,
        other: Index,
        from: Index,
    },
    Duplicate {
        frame: Index,
        to: Index,
    },
    Remove {
        frame: Index,
    },
}

/// XLogData has a tag, two addresses and a time before its message.
const XLOG_DATA_HEADER: usize = 25;

fn number() -> impl Strategy<Value = Vec<u8>> {
    let edges = [0, 1, 2, 0x7f, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff_u32];
    let number = prop_oneof![proptest::sample::select(edges.to_vec()), any::<u32>()];
    (number, any::<bool>()).prop_map(|(number, wide)| {
        let bytes = number.to_be_bytes();
        if wide { bytes.to_vec() } else { bytes[2..].to_vec() }
    })
}

fn change() -> impl Strategy<Value = Change> {
    let index = any::<Index>;
    prop_oneof![
        2 => (index(), index()).prop_map(|(frame, at)| Change::Cut { frame, at }),
        4 => (index(), index(), any::<u8>()).prop_map(|(frame, at, byte)| Change::Byte { frame, at, byte }),
        6 => (index(), index(), number()).prop_map(|(frame, at, bytes)| Change::Number { frame, at, bytes }),
        1 => (index(), proptest::sample::select(b"BCORYIUDTMSEcAbPKrp?".to_vec()))
            .prop_map(|(frame, tag)| Change::Tag { frame, tag }),
        2 => (index(), index(), index(), index())
            .prop_map(|(frame, at, other, from)| Change::Splice { frame, at, other, from }),
        1 => (index(), index()).prop_map(|(frame, to)| Change::Duplicate { frame, to }),
        1 => index().prop_map(|frame| Change::Remove { frame }),
    ]
}

/// An index into the message of a frame, of which most bytes are more interesting than the framing.
fn inside(frame: &[u8], at: Index) -> usize {
    let from = if frame.len() > XLOG_DATA_HEADER { XLOG_DATA_HEADER } else { 0 };
    from + at.index((frame.len() - from).max(1))
}

impl Change {
    fn apply(self, frames: &mut Vec<Vec<u8>>) {
        if frames.is_empty() {
            return;
        }
        let count = frames.len();
        match self {
            Self::Cut { frame, at } => {
                let frame = &mut frames[frame.index(count)];
                frame.truncate(inside(frame, at));
            }
            Self::Byte { frame, at, byte } => overwrite(&mut frames[frame.index(count)], at, &[byte]),
            Self::Number { frame, at, bytes } => overwrite(&mut frames[frame.index(count)], at, &bytes),
            Self::Tag { frame, tag } => {
                if let Some(byte) = frames[frame.index(count)].get_mut(XLOG_DATA_HEADER) {
                    *byte = tag;
                }
            }
            Self::Splice { frame, at, other, from } => {
                let other = &frames[other.index(count)];
                let tail = other[inside(other, from).min(other.len())..].to_vec();
                let frame = &mut frames[frame.index(count)];
                frame.truncate(inside(frame, at));
                frame.extend(tail);
            }
            Self::Duplicate { frame, to } => {
                let frame = frames[frame.index(count)].clone();
                frames.insert(to.index(count), frame);
            }
            Self::Remove { frame } => {
                frames.remove(frame.index(count));
            }
        }
    }
}

fn overwrite(frame: &mut [u8], at: Index, bytes: &[u8]) {
    let at = inside(frame, at);
    frame.iter_mut().skip(at).zip(bytes).for_each(|(byte, new)| *byte = *new);
}

/// A window of what a connection sent (with the Relations before it, so that rows are read), changed.
fn malformed(seed: &Seed, window: Index, options: u8, changes: Vec<Change>) -> Vec<u8> {
    const WINDOW: usize = 40;
    let all: Vec<&[u8]> = frames(&seed.input[HEADER..]).collect();
    let from = window.index(all.len().saturating_sub(WINDOW).max(1));
    let is_begin = |frame: &&&[u8]| frame.get(XLOG_DATA_HEADER) == Some(&b'B');
    let relations = all[..from].iter().filter(|frame| frame.get(XLOG_DATA_HEADER) == Some(&b'R'));
    let begin = all[..from].iter().rev().find(is_begin);
    let mut frames: Vec<Vec<u8>> =
        begin.into_iter().chain(relations).chain(&all[from..]).take(WINDOW * 2).map(|frame| frame.to_vec()).collect();
    changes.into_iter().for_each(|change| change.apply(&mut frames));
    let mut input = vec![seed.input[0], options];
    frames.iter().for_each(|frame| push_frame(&mut input, frame));
    input
}

fn connection() -> impl Strategy<Value = &'static Seed> {
    any::<Index>().prop_map(|index| index.get(&CONNECTIONS))
}

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn malformed_messages_are_errors_or_messages(
        seed in connection(),
        window: Index,
        changes in proptest::collection::vec(change(), 1..8),
    ) {
        let _ = targets::pgoutput(&malformed(seed, window, 0, changes));
    }

    #[test]
    fn malformed_messages_become_errors_or_valid_batches(
        seed in connection(),
        window: Index,
        options in 0u8..32,
        changes in proptest::collection::vec(change(), 1..8),
    ) {
        let _ = targets::assemble(&malformed(seed, window, options, changes), |_| {});
    }

    #[test]
    fn malformed_values_are_errors_or_values(
        index: Index,
        policy in 0u8..3,
        changes in proptest::collection::vec((any::<Index>(), number()), 0..6),
    ) {
        let mut input = index.get(&COLUMNS).input.clone();
        input[1] = policy;
        // The modifier and the values are changed, the type stays.
        let values = &mut input[HEADER + size_of::<u32>()..];
        for (at, bytes) in changes {
            let at = at.index(values.len());
            values[at..].iter_mut().zip(bytes).for_each(|(byte, new)| *byte = new);
        }
        let _ = targets::values(&input);
    }
}
