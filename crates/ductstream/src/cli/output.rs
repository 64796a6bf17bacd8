//! Standard output: data and JSON, nothing else.

use std::io::{ErrorKind, Write};

use ductstream_core::{Error, Result};
use serde::Serialize;

/// Prints `text`. That the reader has gone, as `head` does, is no error: there is nobody to tell.
pub(crate) fn print(text: &str) -> Result<()> {
    print_while_read(text.as_bytes()).map(drop)
}

/// Prints `bytes`, and says whether there is still a reader.
pub(crate) fn print_while_read(bytes: &[u8]) -> Result<bool> {
    let mut output = std::io::stdout().lock();
    match output.write_all(bytes).and_then(|()| output.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Error::configuration(format!("cannot write to standard output: {error}"))),
    }
}

/// Prints `value` as one line of JSON.
pub(crate) fn json_line<T: Serialize + ?Sized>(value: &T) -> Result<()> {
    print(&format!("{}\n", text(serde_json::to_string(value))?))
}

/// Prints `value` as JSON for people and programs.
pub(crate) fn json<T: Serialize + ?Sized>(value: &T) -> Result<()> {
    print(&format!("{}\n", text(serde_json::to_string_pretty(value))?))
}

fn text(json: serde_json::Result<String>) -> Result<String> {
    json.map_err(|error| Error::bug("cannot write JSON").with_source(error))
}

/// `rows` as aligned columns.
pub(crate) fn columns<const N: usize>(rows: Vec<[String; N]>) -> String {
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(console::measure_text_width(cell));
        }
    }
    let mut text = String::new();
    for row in &rows {
        let cells =
            row.iter().zip(widths).map(|(cell, width)| console::pad_str(cell, width, console::Alignment::Left, None));
        let line = cells.map(|cell| cell.into_owned()).collect::<Vec<_>>().join("  ");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align() {
        let rows = vec![["A", "B"], ["longer", "x"]].into_iter().map(|row| row.map(str::to_owned)).collect();
        assert_eq!(columns(rows), "A       B\nlonger  x\n");
    }
}
