use ductstream_core::{Envelope, ErrorKind, TableChunk, WireFormat};
use ductstream_decode::Options;
use ductstream_testkit::batch::{BatchBuilder, table};

use super::support::{every_setting, file, lines, read};

fn chunk(rows: i64) -> TableChunk {
    BatchBuilder::new().begin(0x100, 751, 1).insert_many(&table("public.orders", 3), 1, rows).build().chunks.remove(0)
}

#[test]
fn what_lies_before_the_end_of_a_file_that_was_cut_off_is_printed_and_the_place_named() {
    let chunk = chunk(20_000);
    let expected = lines(Envelope::Flat, &chunk);
    for (format, settings) in every_setting() {
        let bytes = file(format, Envelope::Flat, &settings, &chunk);
        let mut longest = 0;
        for cut in (1..8).map(|part| bytes.len() * part / 8).chain([bytes.len() - 1]) {
            let (printed, error) = read(bytes[..cut].to_vec(), &Options::default());
            let at = format!("{format} {settings:?}, cut at {cut} of {}", bytes.len());
            assert!(expected.starts_with(&printed) && (printed.is_empty() || printed.ends_with('\n')), "{at}");
            longest = longest.max(printed.len());
            match error {
                Some(error) => {
                    assert_eq!(error.kind(), ErrorKind::Data, "{at}: {error}");
                    assert!(error.message().contains("damaged at byte"), "{at}: {error}");
                }
                // A file of lines says nowhere that it is whole.
                None => {
                    assert!(format == WireFormat::Json && printed.lines().count() == expected.lines().count(), "{at}")
                }
            }
        }
        // Without its footer, nothing of a Parquet file can be read.
        assert_eq!(longest > expected.len() / 2, format != WireFormat::Parquet, "{format} {settings:?}: {longest}");
    }
}

#[test]
fn short_beginnings_and_bytes_that_changed_are_errors_and_nothing_worse() {
    let chunk = chunk(30);
    for (format, settings) in every_setting() {
        let bytes = file(format, Envelope::Native, &settings, &chunk);
        for cut in 0..bytes.len().min(400) {
            let (_, error) = read(bytes[..cut].to_vec(), &Options::default());
            let is_line_end = format == WireFormat::Json && bytes[..cut].ends_with(b"}\n");
            assert!(
                error.is_some() || is_line_end || bytes[..cut].ends_with(b"}"),
                "{format} {settings:?}, cut at {cut}"
            );
        }
        for at in (0..bytes.len()).step_by(13) {
            for flip in [0x01, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] ^= flip;
                // Formats without checksums cannot tell a changed value: what counts is that this returns.
                let _ = read(changed, &Options::default());
            }
        }
    }
}

#[test]
fn what_nobody_wrote_is_refused_with_its_first_bytes() {
    for bytes in [&b"\x89PNG\r\n\x1a\n"[..], b"id,note\n1,a\n", b"\xff\xd8\xff\xe0"] {
        let (printed, error) = read(bytes, &Options::default());
        let error = error.unwrap();
        assert_eq!((printed.as_str(), error.kind()), ("", ErrorKind::Configuration));
        assert!(error.report().contains(&format!("{:02x} {:02x}", bytes[0], bytes[1])), "{}", error.report());
        assert!(error.report().contains("--format"), "{}", error.report());
    }
    assert!(read("", &Options::default()).1.unwrap().report().contains("empty"));
}

#[test]
fn a_line_that_is_no_json_is_named_by_number_and_byte() {
    let (printed, error) = read("{\"a\":1}\n{\"a\": 1.50}\n{\"a\":}\n{\"a\":2}\n", &Options::default());
    assert_eq!(printed, "{\"a\":1}\n{\"a\": 1.50}\n");
    let message = error.unwrap().message().to_owned();
    assert!(message.starts_with("damaged at byte 20: line 3 is not JSON"), "{message}");
}
