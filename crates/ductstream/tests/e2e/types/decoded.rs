//! Every type in every format, as `ductstream decode` prints it.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::columns::COLUMNS;
use super::table::{Layout, Table};
use super::with_types;
use crate::harness::{DUCTSTREAM, Flow, Shape, files};

async fn decoded(files: &[PathBuf]) -> String {
    assert!(!files.is_empty());
    let output = Command::new(DUCTSTREAM).arg("decode").args(files).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_in_every_format_is_decoded_as_the_format_json_has_it() {
    const FORMATS: [(&str, &str); 4] = [("parquet", "parquet"), ("arrow", "arrow"), ("avro", "avro"), ("proto", "pb")];
    for envelope in ["flat", "native"] {
        let database = with_types(18).await;
        let mut table = Table::create(&database, Layout::full("types", COLUMNS)).await;
        let mut flow = Flow::new(&database, &Shape { envelope, ..Shape::default() });
        let place = |format: &str| flow.directory.path().join(format);
        let more: String = FORMATS
            .iter()
            .map(|(format, _)| {
                format!("  - {{name: {format}, type: file, format: {format}, path: {}}}\n", place(format).display())
            })
            .collect();
        let places = FORMATS.map(|(format, extension)| (place(format), extension));
        flow.edit("destinations:\n", &format!("destinations:\n{more}"));
        flow.create().await;
        table.change().await;
        flow.drain().await;
        let text = |file: &PathBuf| std::fs::read_to_string(file).unwrap();
        let own = |place: &Path, extension: &str| files(&place.join("public.types"), extension);
        let expected: String = own(&flow.out(), "jsonl").iter().map(text).collect();
        assert!(expected.lines().count() > 10);
        for (place, extension) in places {
            let found = decoded(&own(&place, extension)).await;
            for (number, (found, expected)) in found.lines().zip(expected.lines()).enumerate() {
                let same =
                    found.bytes().zip(expected.bytes()).take_while(|(found, expected)| found == expected).count();
                let around = |text: &str| {
                    String::from_utf8_lossy(&text.as_bytes()[same.saturating_sub(80)..])
                        .chars()
                        .take(200)
                        .collect::<String>()
                };
                assert!(
                    found == expected,
                    "{extension}, {envelope}, record {number}: {:?}, not {:?}",
                    around(found),
                    around(expected)
                );
            }
            assert_eq!(found.len(), expected.len(), "{extension}, {envelope}");
        }
        assert_eq!(decoded(&own(&flow.out(), "jsonl")).await, expected);
    }
}
