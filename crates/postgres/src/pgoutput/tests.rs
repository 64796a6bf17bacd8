use ductstream_core::{Lsn, ReplicaIdentity};
use proptest::prelude::*;

use super::*;

/// Byte `n` of the epoch: 2000-01-01 plus one microsecond.
const TIME: [u8; 8] = [0, 0, 0, 0, 0, 0, 0, 1];
const TIME_UNIX: i64 = 946_684_800_000_001;
const LSN: [u8; 8] = [0, 0, 0, 0, 0x01, 0x6B, 0x37, 0x48];
const END: [u8; 8] = [0, 0, 0, 0, 0x01, 0x6B, 0x37, 0x78];
const XID: [u8; 4] = [0, 0, 2, 0xEF];

fn lsn(bytes: [u8; 8]) -> Lsn {
    Lsn(u64::from_be_bytes(bytes))
}

fn bytes(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

fn parse(frame: &[u8]) -> Message<'_> {
    Parser::new().parse(frame).expect("a valid message").message
}

fn values(tuple: Tuple<'_>) -> Vec<TupleValue<'_>> {
    let mut values = tuple.values();
    let read = values.by_ref().collect::<Result<_, _>>().expect("valid values");
    values.end().expect("nothing behind the row");
    read
}

fn begin() -> Vec<u8> {
    bytes(&[b"B", &LSN, &TIME, &XID])
}

fn commit() -> Vec<u8> {
    bytes(&[b"C\0", &LSN, &END, &TIME])
}

fn relation() -> Vec<u8> {
    let columns: &[u8] = b"\0\x02\x01id\0\0\0\0\x17\xFF\xFF\xFF\xFF\0note\0\0\0\0\x19\xFF\xFF\xFF\xFF";
    bytes(&[b"R\0\0\x40\0public\0orders\0d", columns])
}

const ROW: &[u8] = b"\0\x04b\0\0\0\x04\0\0\0\x07t\0\0\0\x02hinu";

fn insert() -> Vec<u8> {
    bytes(&[b"I\0\0\x40\0N", ROW])
}

fn update(old: &[u8]) -> Vec<u8> {
    bytes(&[b"U\0\0\x40\0", old, b"N", ROW])
}

fn logical() -> Vec<u8> {
    bytes(&[b"M\x01", &LSN, b"audit\0\0\0\0\x03a\0b"])
}

fn prepared(tag: &[u8]) -> Vec<u8> {
    bytes(&[tag, &LSN, &END, &TIME, &XID, b"gid-1\0"])
}

fn every_message() -> Vec<Vec<u8>> {
    vec![
        begin(),
        commit(),
        bytes(&[b"O", &LSN, b"upstream\0"]),
        relation(),
        b"Y\0\0\x41\0public\0mood\0".to_vec(),
        insert(),
        update(b""),
        update(&bytes(&[b"K", ROW])),
        update(&bytes(&[b"O", ROW])),
        bytes(&[b"D\0\0\x40\0K", ROW]),
        b"T\0\0\0\x02\x03\0\0\x40\0\0\0\x40\x01".to_vec(),
        logical(),
        bytes(&[b"S", &XID, b"\x01"]),
        b"E".to_vec(),
        bytes(&[b"c", &XID, b"\0", &LSN, &END, &TIME]),
        bytes(&[b"A", &XID, &XID]),
        bytes(&[b"A", &XID, &XID, &LSN, &TIME]),
        prepared(b"b"),
        prepared(b"P\0"),
        prepared(b"K\0"),
        bytes(&[b"r\0", &LSN, &END, &TIME, &TIME, &XID, b"gid-1\0"]),
        prepared(b"p\0"),
    ]
}

/// Reads a message to its last value, as a consumer does.
fn read_whole(parser: &mut Parser, frame: &[u8]) -> Result<(), ParseError> {
    let whole = |tuple: Tuple<'_>| {
        let mut values = tuple.values();
        values.by_ref().try_for_each(|value| value.map(drop))?;
        values.end()
    };
    match parser.parse(frame)?.message {
        Message::Insert(insert) => whole(insert.new),
        Message::Update(update) => {
            update.old.map_or(Ok(()), |old| whole(old.tuple()))?;
            whole(update.new)
        }
        Message::Delete(delete) => whole(delete.old.tuple()),
        _ => Ok(()),
    }
}

#[test]
fn begin_and_commit_carry_addresses_and_unix_times() {
    let Message::Begin(begin) = parse(&begin()).clone() else { panic!("not a Begin") };
    assert_eq!(begin, Begin { final_lsn: lsn(LSN), commit_time: TIME_UNIX, xid: 751 });
    let Message::Commit(commit) = parse(&commit()).clone() else { panic!("not a Commit") };
    assert_eq!(commit, Commit { commit_lsn: lsn(LSN), end_lsn: lsn(END), commit_time: TIME_UNIX });
}

#[test]
fn origin_and_type_carry_names_and_an_empty_namespace_is_pg_catalog() {
    let frame = bytes(&[b"O", &LSN, b"upstream\0"]);
    let Message::Origin(origin) = parse(&frame) else { panic!("not an Origin") };
    assert_eq!(origin, Origin { commit_lsn: lsn(LSN), name: "upstream" });
    let Message::Type(value) = parse(b"Y\0\0\x41\0public\0mood\0") else { panic!("not a Type") };
    assert_eq!(value, Type { oid: 0x4100, namespace: "public", name: "mood" });
    let Message::Type(value) = parse(b"Y\0\0\0\x17\0int4\0") else { panic!("not a Type") };
    assert_eq!(value, Type { oid: 23, namespace: "pg_catalog", name: "int4" });
}

#[test]
fn relation_carries_its_columns_and_identity() {
    let frame = relation();
    let Message::Relation(relation) = parse(&frame) else { panic!("not a Relation") };
    assert_eq!((relation.oid, relation.namespace, relation.name), (0x4000, "public", "orders"));
    assert_eq!(relation.identity, ReplicaIdentity::Default);
    let expected = [
        RelationColumn { key: true, name: "id", type_oid: 23, typmod: -1 },
        RelationColumn { key: false, name: "note", type_oid: 25, typmod: -1 },
    ];
    assert_eq!(relation.columns, expected);
}

#[test]
fn a_row_carries_binary_text_null_and_unchanged_values() {
    let frame = insert();
    let Message::Insert(insert) = parse(&frame) else { panic!("not an Insert") };
    assert_eq!((insert.relation, insert.new.columns()), (0x4000, 4));
    let expected =
        [TupleValue::Binary(&[0, 0, 0, 7]), TupleValue::Text(b"hi"), TupleValue::Null, TupleValue::Unchanged];
    assert_eq!(values(insert.new), expected);
}

#[test]
fn an_update_tells_no_old_image_from_a_key_and_from_a_full_one() {
    for (old, full) in [(&b""[..], None), (b"K", Some(false)), (b"O", Some(true))] {
        let old = if old.is_empty() { Vec::new() } else { bytes(&[old, ROW]) };
        let frame = update(&old);
        let Message::Update(update) = parse(&frame) else { panic!("not an Update") };
        assert_eq!(update.old.map(|old| matches!(old, OldTuple::Full(_))), full);
        if let Some(old) = update.old {
            assert_eq!(values(old.tuple()), values(update.new));
        }
    }
}

#[test]
fn a_delete_carries_its_key_or_the_whole_row() {
    for (tag, full) in [(b"K", false), (b"O", true)] {
        let frame = bytes(&[b"D\0\0\x40\0", tag, ROW]);
        let Message::Delete(delete) = parse(&frame) else { panic!("not a Delete") };
        assert_eq!(delete.relation, 0x4000);
        assert_eq!(matches!(delete.old, OldTuple::Full(_)), full);
        assert_eq!(values(delete.old.tuple()).len(), 4);
    }
}

#[test]
fn truncate_carries_tables_and_options() {
    let Message::Truncate(truncate) = parse(b"T\0\0\0\x02\x02\0\0\x40\0\0\0\x40\x01") else { panic!("not a Truncate") };
    let expected = Truncate { cascade: false, restart_identity: true, relations: vec![0x4000, 0x4001] };
    assert_eq!(truncate, expected);
}

#[test]
fn a_logical_message_carries_any_bytes() {
    let frame = logical();
    let Message::Message(message) = parse(&frame) else { panic!("not a Message") };
    assert_eq!(message, Logical { transactional: true, lsn: lsn(LSN), prefix: "audit", content: b"a\0b" });
}

#[test]
fn a_change_carries_its_transaction_inside_a_streamed_block_and_nowhere_else() {
    // Given a block of a streamed transaction
    let mut parser = Parser::new();
    let start = bytes(&[b"S", &XID, b"\x01"]);
    let Message::StreamStart(started) = parser.parse(&start).expect("valid").message else { panic!("not a start") };
    assert_eq!(started, StreamStart { xid: 751, first: true });
    // When changes come inside and after it
    let mut streamed = insert();
    streamed.splice(1..1, 752u32.to_be_bytes());
    let inside = parser.parse(&streamed).expect("valid");
    assert_eq!(inside.stream_xid, Some(752));
    assert_eq!(inside.message.kind(), Kind::Insert);
    parser.parse(b"E").expect("valid");
    // Then only the one inside has a transaction of its own
    assert_eq!(parser.parse(&insert()).expect("valid").stream_xid, None);
}

#[test]
fn stream_commit_and_abort_are_read_in_both_lengths() {
    let frame = bytes(&[b"c", &XID, b"\0", &LSN, &END, &TIME]);
    let Message::StreamCommit(stream) = parse(&frame) else { panic!("not a Stream Commit") };
    let commit = Commit { commit_lsn: lsn(LSN), end_lsn: lsn(END), commit_time: TIME_UNIX };
    assert_eq!(stream, StreamCommit { xid: 751, commit });
    let short = bytes(&[b"A", &XID, &[0, 0, 2, 0xF0]]);
    let Message::StreamAbort(abort) = parse(&short) else { panic!("not a Stream Abort") };
    assert_eq!(abort, StreamAbort { xid: 751, subxid: 752, at: None });
    let long = bytes(&[&short, &LSN, &TIME]);
    let Message::StreamAbort(abort) = parse(&long) else { panic!("not a Stream Abort") };
    assert_eq!(abort.at, Some((lsn(LSN), TIME_UNIX)));
}

#[test]
fn two_phase_messages_carry_their_global_identifier() {
    let expected = Prepared { lsn: lsn(LSN), end_lsn: lsn(END), time: TIME_UNIX, xid: 751, gid: "gid-1" };
    for tag in [&b"b"[..], b"P\0", b"K\0", b"p\0"] {
        let frame = prepared(tag);
        match parse(&frame) {
            Message::BeginPrepare(read)
            | Message::Prepare(read)
            | Message::CommitPrepared(read)
            | Message::StreamPrepare(read) => assert_eq!(read, expected),
            other => panic!("{other:?} is not a two-phase message"),
        }
    }
    let frame = bytes(&[b"r\0", &LSN, &END, &TIME, &TIME, &XID, b"gid-1\0"]);
    let Message::RollbackPrepared(rollback) = parse(&frame) else { panic!("not a Rollback Prepared") };
    assert_eq!((rollback.prepare_end_lsn, rollback.rollback_end_lsn), (lsn(LSN), lsn(END)));
    assert_eq!((rollback.xid, rollback.gid), (751, "gid-1"));
}

#[test]
fn the_outer_framing_is_read_and_written() {
    let frame = bytes(&[b"w", &LSN, &END, &TIME, b"payload"]);
    let expected =
        Replication::WalData { wal_start: lsn(LSN), wal_end: lsn(END), server_time: TIME_UNIX, data: b"payload" };
    assert_eq!(Replication::parse(&frame), Ok(expected));
    let frame = bytes(&[b"k", &END, &TIME, b"\x01"]);
    let expected = Replication::Keepalive { wal_end: lsn(END), server_time: TIME_UNIX, reply_requested: true };
    assert_eq!(Replication::parse(&frame), Ok(expected));
    let update = StatusUpdate {
        written: lsn(END),
        flushed: lsn(LSN),
        applied: lsn(LSN),
        client_time: TIME_UNIX,
        reply_requested: false,
    };
    assert_eq!(update.encode().to_vec(), bytes(&[b"r", &END, &LSN, &LSN, &TIME, b"\0"]));
}

#[test]
fn an_error_names_the_message_and_the_byte() {
    let error = |frame: &[u8]| read_whole(&mut Parser::new(), frame).expect_err("malformed").to_string();
    assert_eq!(error(b""), "malformed unknown message at byte 0: 1 bytes expected, 0 left");
    assert_eq!(error(b"?"), "malformed unknown message at byte 0: unknown message 0x3f");
    assert_eq!(error(b"E!"), "malformed Stream Stop message at byte 1: 1 bytes after the last field");
    assert_eq!(error(b"I\0\0\x40\0X"), "malformed Insert message at byte 5: unknown tuple 0x58");
    assert_eq!(error(b"I\0\0\x40\0N\0\x01t\xFF\xFF\xFF\xFF"), "malformed Insert message at byte 9: negative length -1");
    assert_eq!(error(b"I\0\0\x40\0N\0\x01x"), "malformed Insert message at byte 8: unknown kind of value 0x78");
    let long = bytes(&[&insert(), b"!"]);
    assert!(error(&long).ends_with("1 bytes after the last field"), "{}", error(&long));
    assert!(error(b"Y\0\0\0\x17pub\xFF\0x\0").ends_with("string is not UTF-8"));
}

#[test]
fn a_count_that_cannot_fit_is_refused_before_anything_is_allocated() {
    for frame in [&b"R\0\0\x40\0a\0b\0d\xFF\xFF"[..], b"T\xFF\xFF\xFF\xFF\0\0\0\0\0", b"I\0\0\x40\0N\xFF\xFF"] {
        let error = read_whole(&mut Parser::new(), frame).expect_err("malformed");
        assert!(matches!(*error.problem, Problem::TooMany { .. }), "{error}");
    }
}

#[test]
fn no_message_can_be_cut_short_unnoticed() {
    // Given each message, when it is cut anywhere, then reading it fails...
    for frame in every_message() {
        assert_eq!(read_whole(&mut Parser::new(), &frame), Ok(()));
        for length in 0..frame.len() {
            // ...but for a Stream Abort without address and time, which is whole in itself.
            let whole = frame[0] == b'A' && length == 9;
            assert_eq!(read_whole(&mut Parser::new(), &frame[..length]).is_ok(), whole, "{frame:?} up to {length}");
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(frame: Vec<u8>, streamed: bool) {
        let mut parser = Parser::new();
        if streamed {
            parser.parse(b"S\0\0\0\x01\x01").expect("valid");
        }
        let _ = read_whole(&mut parser, &frame);
        let _ = Replication::parse(&frame);
    }

    #[test]
    fn mutated_messages_never_panic(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        streamed: bool,
    ) {
        let messages = every_message();
        let mut frame = which.get(&messages).clone();
        for (at, byte) in changes {
            let at = at.index(frame.len());
            frame[at] = byte;
        }
        frame.truncate(cut.index(frame.len() * 2).max(1));
        let mut parser = Parser::new();
        if streamed {
            parser.parse(b"S\0\0\0\x01\x01").expect("valid");
        }
        let _ = read_whole(&mut parser, &frame);
    }
}
