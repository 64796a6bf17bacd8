use ductstream_core::{ByteSize, ErrorKind};
use tempfile::TempDir;

use super::*;

/// A message of the transaction `xid`, as it stands inside a block.
fn inside(tag: u8, xid: u32, rest: &[u8]) -> Vec<u8> {
    [&[tag], &xid.to_be_bytes()[..], rest].concat()
}

fn insert(xid: u32, oid: u32, value: &[u8]) -> Vec<u8> {
    let length = u32::try_from(value.len()).unwrap().to_be_bytes();
    inside(b'I', xid, &[&oid.to_be_bytes()[..], b"N\0\x01t", &length, value].concat())
}

/// What `message` looks like outside of a block.
fn plain(message: &[u8]) -> Vec<u8> {
    [&message[..1], &message[5..]].concat()
}

/// The Relation message of a table of one text column of this name.
fn relation(xid: Option<u32>, oid: u32, column: &str) -> Vec<u8> {
    let rest =
        [&oid.to_be_bytes()[..], b"public\0t\0d\0\x01\0", column.as_bytes(), b"\0\0\0\0\x19\xff\xff\xff\xff"].concat();
    match xid {
        Some(xid) => inside(b'R', xid, &rest),
        None => [b"R", rest.as_slice()].concat(),
    }
}

fn start(xid: u32, first: bool) -> Vec<u8> {
    inside(b'S', xid, &[u8::from(first)])
}

fn abort(xid: u32, subxid: u32) -> Vec<u8> {
    inside(b'A', xid, &subxid.to_be_bytes())
}

const AT: &[u8] = b"\0\0\0\0\0\0\0\x0a\0\0\0\0\0\0\0\x0b\0\0\0\0\0\0\0\x0c";

fn commit(xid: u32) -> Vec<u8> {
    inside(b'c', xid, &[b"\0", AT].concat())
}

fn begin_of(xid: u32) -> Vec<u8> {
    [b"B", &AT[..8], &AT[16..], &xid.to_be_bytes()].concat()
}

fn commit_of() -> Vec<u8> {
    [b"C\0", AT].concat()
}

struct Scene {
    directory: TempDir,
    spill: Arc<Spill>,
    in_progress: InProgress,
}

impl Scene {
    fn with_limit(limit: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let spill = Spill::new(directory.path().join("made/when/needed"), ByteSize(limit));
        Self { directory, spill: spill.clone(), in_progress: InProgress::new(spill) }
    }

    fn new() -> Self {
        Self::with_limit(1 << 30)
    }

    /// A block of `xid` with these messages.
    fn block(&mut self, xid: u32, first: bool, messages: &[Vec<u8>]) {
        self.holds(&start(xid, first));
        for message in messages {
            self.holds(message);
        }
        self.holds(b"E");
    }

    fn holds(&mut self, message: &[u8]) {
        let taken = self.in_progress.take(message).unwrap();
        assert!(matches!(taken, Taken::Yes), "{taken:?} of {message:?}");
    }

    fn replay(&mut self, message: &[u8]) -> Vec<(char, Vec<u8>)> {
        let Taken::Committed(mut replay) = self.in_progress.take(message).unwrap() else { panic!("no commit") };
        let mut replayed = Vec::new();
        while let Some(current) = replay.current() {
            replayed.push(match current {
                Replayed::Message(message) => ('m', message.to_vec()),
                Replayed::Announcement(message) => ('a', message.to_vec()),
            });
            replay.advance().unwrap();
        }
        replayed
    }

    fn refuses(mut self, messages: &[Vec<u8>], expected: &str) {
        let (last, before) = messages.split_last().unwrap();
        for message in before {
            self.holds(message);
        }
        let error = self.in_progress.take(last).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Bug);
        assert!(error.message().contains(expected), "{error:?}");
    }
}

fn messages(messages: &[Vec<u8>]) -> Vec<(char, Vec<u8>)> {
    messages.iter().map(|message| ('m', message.clone())).collect()
}

#[test]
fn a_transaction_that_arrived_in_blocks_is_replayed_as_an_ordinary_one() {
    let mut scene = Scene::new();
    let (r, a, b, c) = (relation(Some(7), 1, "v"), insert(7, 1, b"a"), insert(8, 1, b"b"), insert(7, 1, b"c"));
    let truncate = inside(b'T', 7, b"\0\0\0\x01\0\0\0\0\x01");
    scene.block(7, true, &[r.clone(), a.clone(), inside(b'Y', 7, b"\0\0\0\x05public\0mood\0")]);
    assert!(matches!(scene.in_progress.take(&plain(&a)), Ok(Taken::No)), "others go on between the blocks");
    scene.block(7, false, &[b.clone(), truncate.clone(), c.clone()]);
    let expected = [begin_of(7), plain(&r), plain(&a), plain(&b), plain(&truncate), plain(&c), commit_of()];
    assert_eq!(scene.replay(&commit(7)), messages(&expected));
    assert_eq!(scene.spill.used_bytes(), 0);
}

#[test]
fn what_exceeds_the_buffer_goes_to_a_file_without_a_name_and_comes_back() {
    let mut scene = Scene::new();
    let rows: Vec<Vec<u8>> =
        (0..2000u32).map(|row| insert(7, 1, &[row as u8].repeat(1 + (row as usize * 37) % 2000))).collect();
    let huge = insert(7, 1, &vec![9; 20 << 20]);
    for (block, rows) in rows.chunks(500).enumerate() {
        scene.block(7, block == 0, rows);
    }
    scene.block(7, false, std::slice::from_ref(&huge));
    scene.block(7, false, &[insert(7, 1, b"last")]);
    assert!(scene.spill.used_bytes() > 21 << 20);
    let files = std::fs::read_dir(scene.directory.path().join("made/when/needed")).unwrap();
    assert_eq!(files.count(), 0, "whatever ends the process, nothing is left");
    let changes = rows.iter().chain([&huge, &insert(7, 1, b"last")]).map(|row| plain(row)).collect::<Vec<_>>();
    let expected = [vec![begin_of(7)], changes, vec![commit_of()]].concat();
    assert!(scene.replay(&commit(7)) == messages(&expected));
    assert_eq!(scene.spill.used_bytes(), 0);
}

#[test]
fn transactions_whose_blocks_alternate_are_replayed_each_by_itself() {
    let mut scene = Scene::new();
    for first in [true, false] {
        for xid in [7, 9] {
            scene.block(xid, first, &[insert(xid, xid, b"x")]);
        }
    }
    let rows = |xid: u32| [begin_of(xid), plain(&insert(xid, xid, b"x")), plain(&insert(xid, xid, b"x")), commit_of()];
    assert_eq!(scene.replay(&commit(9)), messages(&rows(9)));
    assert_eq!(scene.replay(&commit(7)), messages(&rows(7)));
}

#[test]
fn what_was_rolled_back_is_left_out() {
    let mut scene = Scene::new();
    scene.block(7, true, &[insert(7, 1, b"a"), insert(8, 1, b"b"), insert(9, 1, b"c"), insert(10, 1, b"d")]);
    scene.holds(&abort(7, 8));
    scene.holds(&abort(7, 10));
    scene.block(7, false, &[insert(7, 1, b"e")]);
    let expected =
        [begin_of(7), plain(&insert(7, 1, b"a")), plain(&insert(9, 1, b"c")), plain(&insert(7, 1, b"e")), commit_of()];
    assert_eq!(scene.replay(&commit(7)), messages(&expected));

    scene.holds(&abort(12, 13));
    scene.holds(&abort(12, 12));

    scene.block(11, true, &[insert(11, 1, b"a")]);
    assert!(scene.spill.used_bytes() > 0);
    scene.holds(&abort(11, 11));
    assert_eq!(scene.spill.used_bytes(), 0, "a transaction that is rolled back gives its room back");
}

#[test]
fn a_table_announced_inside_what_was_rolled_back_counts_from_its_next_change_on() {
    let mut scene = Scene::new();
    scene.block(7, true, &[relation(Some(8), 1, "v"), insert(8, 1, b"a")]);
    scene.holds(&abort(7, 8));
    scene.block(7, false, &[insert(7, 1, b"b")]);
    let expected =
        [('m', begin_of(7)), ('a', relation(None, 1, "v")), ('m', plain(&insert(7, 1, b"b"))), ('m', commit_of())];
    assert_eq!(scene.replay(&commit(7)), expected);
}

#[test]
fn what_was_announced_last_holds_after_the_replay_of_something_older() {
    let mut scene = Scene::new();
    let old = relation(Some(7), 1, "old");
    scene.block(7, true, &[old.clone(), insert(7, 1, b"a"), relation(Some(7), 2, "same")]);
    scene.block(9, true, &[insert(9, 2, b"x")]);
    // Another transaction, which the server holds until its commit, sees the table under another column list.
    assert!(matches!(scene.in_progress.take(&relation(None, 1, "new")), Ok(Taken::No)));
    let replayed = scene.replay(&commit(7));
    assert_eq!(replayed[replayed.len() - 2..], [('a', relation(None, 1, "new")), ('m', commit_of())]);

    // What the replay announced is newer than what a transaction holds that began before.
    scene.block(11, true, &[relation(Some(11), 3, "old")]);
    scene.block(13, true, &[relation(Some(13), 3, "new")]);
    scene.replay(&commit(13));
    let replayed = scene.replay(&commit(11));
    assert_eq!(replayed[replayed.len() - 2..], [('a', relation(None, 3, "new")), ('m', commit_of())]);

    scene.holds(&abort(9, 9));
    assert!(scene.in_progress.told.is_empty(), "with nothing held, nothing is remembered");
}

#[test]
fn a_used_up_budget_is_an_error_that_passes_and_is_remembered() {
    let mut scene = Scene::with_limit(1000);
    scene.block(7, true, &[insert(7, 1, &[1; 600])]);
    scene.holds(&start(7, false));
    let error = scene.in_progress.take(&insert(7, 1, &[1; 600])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Retry);
    assert!(error.report().contains("spill_limit of 1kB") && error.report().contains("To go on"), "{error:?}");
    assert!(!scene.spill.is_open());
    drop(scene.in_progress);
    assert_eq!(scene.spill.used_bytes(), 0);
}

#[test]
fn a_directory_that_cannot_be_made_is_an_error_that_passes() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let spill = Spill::new(file.path(), ByteSize(1 << 30));
    let mut in_progress = InProgress::new(spill.clone());
    assert!(in_progress.take(&start(7, true)).is_ok());
    let error = in_progress.take(&insert(7, 1, &vec![0; 1 << 20])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Retry);
    assert!(!spill.is_open());
}

#[test]
fn messages_out_of_order_are_errors_that_name_the_transaction() {
    let cases: [(&[Vec<u8>], &str); 8] = [
        (&[start(7, false)], "transaction 7, which is a later block without its first"),
        (&[start(7, true), b"E".to_vec(), start(7, true)], "a second first block"),
        (&[start(7, true), start(8, true)], "inside a block of another"),
        (&[b"E".to_vec()], "outside of a block"),
        (&[commit(7)], "Stream Commit message for transaction 7, of which it has sent nothing"),
        (&[start(7, true), abort(7, 7)], "Stream Abort message inside a block"),
        (&[start(7, true), commit(7)], "Stream Commit message inside a block"),
        (&[start(7, true), begin_of(9)], "Begin message inside a block"),
    ];
    for (messages, expected) in cases {
        Scene::new().refuses(messages, expected);
    }
}
