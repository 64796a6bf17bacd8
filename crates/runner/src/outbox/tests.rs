use ductstream_core::{ErrorKind, Lsn};
use ductstream_testkit::batch::{BatchBuilder, table};

use super::*;

/// Transaction `n` inserts two rows and commits at LSN `n * 100`, ending at `n * 100 + 10`.
fn transaction(n: u64) -> ChangeBatch {
    let orders = table("public.orders", 1);
    let builder = BatchBuilder::new().begin(n * 100, n as u32, n as i64);
    builder.insert(&orders, n as i64, "a").insert(&orders, n as i64, "b").commit(n * 100 + 10).build()
}

fn after(n: u64) -> Position {
    if n == 0 { Position::default() } else { Position::start_of(Lsn(n * 100 + 10)) }
}

fn positions(transactions: impl IntoIterator<Item = u64>) -> Vec<Position> {
    transactions.into_iter().flat_map(|n| (0..2).map(move |seq| Position::new(Lsn(n * 100), seq))).collect()
}

fn frame_bytes() -> u64 {
    Frame::encode(&transaction(1)).unwrap().len_bytes()
}

struct Bench {
    directory: tempfile::TempDir,
    budget_bytes: u64,
    segment_bytes: u64,
}

impl Bench {
    /// Every segment takes two transactions.
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), budget_bytes: 1 << 30, segment_bytes: frame_bytes() + 64 }
    }

    fn open(&self, durable: Position, queued: Position) -> Result<Outbox> {
        let directory = self.directory.path().join("outbox");
        let (budget_bytes, segment_bytes) = (self.budget_bytes, self.segment_bytes);
        Outbox::open(OutboxSettings { directory, budget_bytes, segment_bytes }, OutboxStart { durable, queued })
    }

    /// The file of the last segment.
    fn last_file(&self) -> PathBuf {
        self.files().pop().unwrap()
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.directory.path().join("outbox")).unwrap();
        let files = entries.map(|entry| entry.unwrap().path());
        let mut files: Vec<PathBuf> = files.filter(|path| path.extension().is_some()).collect();
        files.sort();
        files
    }
}

fn append(outbox: &mut Outbox, transactions: impl IntoIterator<Item = u64>) {
    for n in transactions {
        assert_eq!(outbox.append(&Frame::encode(&transaction(n)).unwrap()).unwrap(), Appended::Written);
    }
}

fn read(reader: &mut OutboxReader, synced: Synced) -> Vec<Position> {
    let mut read = Vec::new();
    while let Some(batch) = reader.next(synced).unwrap() {
        read.extend(batch.records().map(|record| record.position()));
    }
    read
}

#[test]
fn what_was_synced_is_read_in_order_across_segments_while_the_outbox_grows_and_shrinks() {
    let bench = Bench::new();
    let mut outbox = bench.open(after(0), after(0)).unwrap();
    let mut reader = outbox.reader();
    assert_eq!(read(&mut reader, outbox.synced()), []);
    append(&mut outbox, 1..=3);
    assert_eq!(read(&mut reader, outbox.synced()), [], "nothing was synced");
    assert_eq!(outbox.sync().unwrap(), Queued::up_to(after(3)));
    append(&mut outbox, [4]);
    assert_eq!(read(&mut reader, outbox.synced()), positions(1..=3), "the fourth was not synced");
    append(&mut outbox, 5..=9);
    outbox.sync().unwrap();
    outbox.release(after(3)).unwrap();
    assert_eq!(read(&mut reader, outbox.synced()), positions(4..=9));
    outbox.release(after(9)).unwrap();
    assert_eq!((outbox.len_bytes(), bench.files().len()), (0, 0), "all of it is durable in the destination");
    append(&mut outbox, 10..=11);
    outbox.sync().unwrap();
    assert_eq!(read(&mut reader, outbox.synced()), positions(10..=11));
    assert_eq!(read(&mut outbox.reader(), outbox.synced()), positions(10..=11));
}

#[test]
fn a_restart_keeps_what_the_checkpoint_counts_on_and_cuts_off_the_rest() {
    for queued in 0..=7 {
        for durable in 0..=queued {
            let bench = Bench::new();
            let mut outbox = bench.open(after(0), after(0)).unwrap();
            append(&mut outbox, 1..=7);
            outbox.sync().unwrap();
            drop(outbox);
            let mut outbox = bench.open(after(durable), after(queued)).unwrap();
            assert_eq!(outbox.end(), after(queued));
            append(&mut outbox, queued + 1..=9);
            outbox.sync().unwrap();
            let found = read(&mut outbox.reader(), outbox.synced());
            assert!(found.ends_with(&positions(durable + 1..=9)), "durable {durable}, queued {queued}: {found:?}");
            assert!(found.is_sorted_by(|a, b| a < b) && found.len() <= positions(durable..=9).len(), "{found:?}");
        }
    }
}

#[test]
fn a_file_that_is_torn_anywhere_goes_on_behind_its_whole_frames_or_is_refused_when_those_are_missed() {
    let bench = Bench::new();
    let mut outbox = bench.open(after(0), after(0)).unwrap();
    append(&mut outbox, 1..=4);
    outbox.sync().unwrap();
    drop(outbox);
    let whole = std::fs::read(bench.last_file()).unwrap();
    let third = 8 + Frame::encode(&transaction(3)).unwrap().len_bytes() as usize;
    let around = [third - 1, third, third + 1, whole.len() - 1];
    for length in (0..whole.len()).step_by(11).chain(around) {
        for tail in [&[][..], &[0; 64][..]] {
            let torn = [&whole[..length], tail].concat();
            std::fs::write(bench.last_file(), &torn).unwrap();
            if torn.starts_with(&whole) {
                // Only zeros were torn off, and zeros came instead.
                assert!(bench.open(after(0), after(4)).is_ok());
                continue;
            }
            let error = bench.open(after(0), after(4)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Resync, "{}", error.report());
            assert!(error.remedy().is_some());
            assert_eq!(std::fs::read(bench.last_file()).unwrap(), torn, "an outbox that is refused stays as it is");
            assert_eq!(bench.open(after(0), after(3)).is_ok(), torn.starts_with(&whole[..third]), "{length}");
        }
    }
}

#[test]
fn a_changed_byte_is_never_read_as_a_batch() {
    let bench = Bench::new();
    let mut outbox = bench.open(after(0), after(0)).unwrap();
    append(&mut outbox, 1..=2);
    outbox.sync().unwrap();
    let whole = std::fs::read(bench.last_file()).unwrap();
    let synced = outbox.synced();
    let damaged: Vec<usize> = (8..whole.len()).step_by(7).collect();
    let readers: Vec<OutboxReader> = damaged.iter().map(|_| outbox.reader()).collect();
    drop(outbox);
    for (at, mut reader) in damaged.into_iter().zip(readers) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x40;
        std::fs::write(bench.last_file(), &damaged).unwrap();
        let error = bench.open(after(0), after(2)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Resync);
        let error = std::iter::from_fn(|| reader.next(synced).transpose()).find_map(Result::err).unwrap();
        assert_eq!(error.kind(), ErrorKind::Retry, "opening it anew says what is lost");
    }
}

#[test]
fn a_segment_that_is_missing_is_a_gap_and_refused() {
    let bench = Bench::new();
    let mut outbox = bench.open(after(0), after(0)).unwrap();
    append(&mut outbox, 1..=6);
    outbox.sync().unwrap();
    std::fs::remove_file(&bench.files()[1]).unwrap();
    let mut reader = outbox.reader();
    assert!(reader.next(outbox.synced()).is_ok() && reader.next(outbox.synced()).is_ok());
    assert_eq!(reader.next(outbox.synced()).unwrap_err().kind(), ErrorKind::Retry);
    drop(outbox);
    let error = bench.open(after(1), after(6)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Resync);
    assert!(error.message().contains(&after(2).to_string()), "{}", error.message());
    assert!(bench.open(after(4), after(6)).is_ok(), "what is missing is durable in the destination");
}

#[test]
fn a_segment_of_another_version_is_refused_and_left_alone() {
    let bench = Bench::new();
    append(&mut bench.open(after(0), after(0)).unwrap(), 1..=1);
    let mut bytes = std::fs::read(bench.last_file()).unwrap();
    bytes[7] = 2;
    std::fs::write(bench.last_file(), &bytes).unwrap();
    let error = bench.open(after(0), after(0)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert_eq!(std::fs::read(bench.last_file()).unwrap(), bytes);
}

#[test]
fn a_full_outbox_takes_nothing_until_it_is_released_and_one_frame_however_large_when_empty() {
    let bench = Bench { budget_bytes: 3 * frame_bytes() + 64, ..Bench::new() };
    let mut outbox = bench.open(after(0), after(0)).unwrap();
    append(&mut outbox, 1..=3);
    let fourth = Frame::encode(&transaction(4)).unwrap();
    assert_eq!(outbox.append(&fourth).unwrap(), Appended::Full);
    assert_eq!(outbox.sync().unwrap(), Queued::up_to(after(3)));
    outbox.release(after(1)).unwrap();
    assert_eq!(outbox.append(&fourth).unwrap(), Appended::Full, "a segment goes as a whole");
    outbox.release(after(2)).unwrap();
    append(&mut outbox, 4..=4);

    let small = Bench { budget_bytes: 1, ..Bench::new() };
    let mut outbox = small.open(after(0), after(0)).unwrap();
    append(&mut outbox, 1..=1);
    assert_eq!(outbox.append(&Frame::encode(&transaction(2)).unwrap()).unwrap(), Appended::Full);
    outbox.release(after(1)).unwrap();
    append(&mut outbox, 2..=2);
}

#[test]
fn a_batch_that_comes_again_is_appended_once_and_a_barrier_alone_is_kept() {
    let bench = Bench::new();
    let mut outbox = bench.open(after(0), after(0)).unwrap();
    append(&mut outbox, 1..=2);
    assert!(outbox.missing(&transaction(2)).is_none());
    let both = ChangeBatch { end: after(4), ..transaction(3) };
    assert_eq!(outbox.missing(&both).unwrap().len(), 2);
    let backwards = outbox.append(&Frame::encode(&transaction(1)).unwrap()).unwrap_err();
    assert_eq!(backwards.kind(), ErrorKind::Bug);
    let tables = vec![table("public.orders", 1).table.clone()];
    let truncate = ductstream_core::Barrier::Truncate { tables, cascade: false, restart_identity: false };
    let barrier = ChangeBatch { barriers: vec![truncate], end: after(2), ..ChangeBatch::default() };
    let barrier = outbox.missing(&barrier).unwrap();
    // Large enough to close a segment, and still the next one gets another name.
    for _ in 0..9 {
        outbox.append(&Frame::encode(&barrier).unwrap()).unwrap();
    }
    append(&mut outbox, 3..=4);
    outbox.sync().unwrap();
    assert_eq!(read(&mut outbox.reader(), outbox.synced()), positions(1..=4));
    drop(outbox);
    let outbox = bench.open(after(2), after(4)).unwrap();
    assert!(read(&mut outbox.reader(), outbox.synced()).ends_with(&positions(3..=4)));
}

#[test]
fn one_writer_at_a_time_and_the_next_as_soon_as_it_has_gone() {
    let bench = Bench::new();
    let first = bench.open(after(0), after(0)).unwrap();
    let error = bench.open(after(0), after(0)).unwrap_err();
    assert!(error.kind() == ErrorKind::Retry && error.message().contains("another process"), "{}", error.report());
    assert_eq!(remove(&bench.directory.path().join("outbox")).unwrap_err().kind(), ErrorKind::Retry);
    let leaves = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(100));
        drop(first);
    });
    assert!(bench.open(after(0), after(0)).is_ok(), "it waits for a writer that is about to leave");
    leaves.join().unwrap();
}

#[test]
fn an_outbox_is_inspected_without_a_change_and_removed_as_a_whole() {
    let bench = Bench::new();
    let directory = bench.directory.path().join("outbox");
    let start = |durable, queued| OutboxStart { durable: after(durable), queued: after(queued) };
    assert_eq!(inspect(&directory, start(3, 3)).unwrap(), 0, "nothing was ever queued");
    assert_eq!(inspect(&directory, start(3, 4)).unwrap_err().kind(), ErrorKind::Resync);
    assert!(!directory.exists());
    remove(&directory).unwrap();

    let mut outbox = bench.open(after(0), after(0)).unwrap();
    append(&mut outbox, 1..=3);
    outbox.sync().unwrap();
    assert_eq!(inspect(&directory, start(0, 3)).unwrap(), outbox.len_bytes());
    assert_eq!(bench.files().len(), 2);
    drop(outbox);
    remove(&directory).unwrap();
    assert!(!directory.exists());
}
