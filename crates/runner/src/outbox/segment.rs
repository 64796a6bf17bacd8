//! One file of an outbox: frames, each a batch with its length and its checksum.
//!
//! A file begins with [`MAGIC`]. A frame is the length of its payload (eight bytes, little endian), the CRC32C of length and payload (four
//! bytes), and the payload. The checksum covers the length, so that zeros, which some file systems leave behind a crash, are no frame.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use ductstream_core::{Error, Position, Result};

use super::format;

/// What a segment begins with; the last byte is the version of the format.
const MAGIC: [u8; 8] = *b"DUCTOBX\x01";

const FRAME_HEADER_BYTES: usize = 12;

/// The ending of a segment's file name, after the bound at which it begins.
const EXTENSION: &str = "outbox";

/// A batch as it lies in a segment.
#[derive(Debug)]
pub struct Frame {
    bytes: Vec<u8>,
    end: Position,
}

impl Frame {
    /// The frame of `batch`.
    ///
    /// # Errors
    /// [`ErrorKind::Bug`](ductstream_core::ErrorKind::Bug) when the batch's arrays do not have the types of their schema.
    pub fn encode(batch: &ductstream_core::ChangeBatch) -> Result<Self> {
        let payload = format::encode(batch)?;
        let mut bytes = Vec::with_capacity(FRAME_HEADER_BYTES + payload.len());
        let length = (payload.len() as u64).to_le_bytes();
        bytes.extend_from_slice(&length);
        bytes.extend_from_slice(&checksum(length, &payload).to_le_bytes());
        bytes.extend_from_slice(&payload);
        Ok(Self { bytes, end: batch.end })
    }

    /// The bound after the batch.
    pub fn end(&self) -> Position {
        self.end
    }

    /// Bytes on disk.
    pub fn len_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }
}

fn checksum(length: [u8; 8], payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&length), payload)
}

/// What is known of one segment.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    /// The bound at which it begins: every record in it stands at or after it.
    pub(super) begin: Position,
    /// The bound after its last frame.
    pub(super) end: Position,
    /// Its length.
    pub(super) bytes: u64,
}

impl Segment {
    /// Creates the file of an empty segment.
    pub(super) fn create(directory: &Path, begin: Position) -> Result<(Self, File)> {
        let path = path(directory, begin);
        let create = || {
            let mut file = File::create_new(&path)?;
            file.write_all(&MAGIC)?;
            sync_directory(directory)?;
            Ok(file)
        };
        let file = create().map_err(|error| failed("create", &path, error))?;
        Ok((Self { begin, end: begin, bytes: MAGIC.len() as u64 }, file))
    }

    /// Appends a frame. Not durable before the file is synced. After an error the file may end in a torn frame.
    pub(super) fn append(&mut self, directory: &Path, file: &mut File, frame: &Frame) -> Result<()> {
        file.write_all(&frame.bytes).map_err(|error| failed("write", &path(directory, self.begin), error))?;
        self.bytes += frame.len_bytes();
        self.end = frame.end;
        Ok(())
    }

    /// Reads how far the frames of a file go that are whole and end at or before `limit`. Changes nothing.
    pub(super) fn scan(directory: &Path, begin: Position, limit: Position) -> Result<Self> {
        let mut frames = Frames::open(directory, begin)?;
        let mut segment = Self { begin, end: begin, bytes: 0 };
        if frames.begins()? {
            segment.bytes = frames.at;
            while let Some(payload) = frames.next(u64::MAX)? {
                let end = format::end_of(&payload)?;
                if end > limit {
                    break;
                }
                (segment.bytes, segment.end) = (frames.at, end);
            }
        }
        Ok(segment)
    }

    /// Cuts off what lies behind the frames that [`scan`](Self::scan) counted.
    pub(super) fn cut(&self, directory: &Path) -> Result<()> {
        let path = path(directory, self.begin);
        let cut = || {
            let file = File::options().write(true).open(&path)?;
            file.set_len(self.bytes)?;
            file.sync_all()
        };
        cut().map_err(|error| failed("repair", &path, error))
    }

    /// The file, to go on at its end.
    pub(super) fn reopen(&self, directory: &Path) -> Result<File> {
        let path = path(directory, self.begin);
        File::options().append(true).open(&path).map_err(|error| failed("open", &path, error))
    }

    /// Whether it holds no frame.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes <= MAGIC.len() as u64
    }

    /// Removes the file. Not durable before the directory is synced.
    pub(super) fn remove(&self, directory: &Path) -> Result<()> {
        let path = path(directory, self.begin);
        std::fs::remove_file(&path).map_err(|error| failed("remove", &path, error))
    }
}

/// Reads a segment's frames from the front.
#[derive(Debug)]
pub(super) struct Frames {
    file: BufReader<File>,
    path: PathBuf,
    /// Where the next frame begins.
    at: u64,
}

impl Frames {
    pub(super) fn open(directory: &Path, begin: Position) -> Result<Self> {
        let path = path(directory, begin);
        let file = File::open(&path).map_err(|error| failed("open", &path, error))?;
        Ok(Self { file: BufReader::new(file), path, at: 0 })
    }

    /// Reads the file's beginning; false when the file is too short to have one.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](ductstream_core::ErrorKind::Configuration) when it is of another version, or no segment.
    pub(super) fn begins(&mut self) -> Result<bool> {
        let mut magic = [0; MAGIC.len()];
        if !self.fill(&mut magic)? {
            return Ok(false);
        }
        self.at = MAGIC.len() as u64;
        if magic == MAGIC {
            return Ok(true);
        }
        // A length that reached the disk before the content did.
        if magic.iter().zip(MAGIC).all(|(found, expected)| *found == expected || *found == 0) {
            return Ok(false);
        }
        Err(Error::configuration(format!("{} is no outbox segment that this version reads", self.path.display()))
            .with_remedy("run the version that wrote it until the outbox is empty"))
    }

    /// The payload of the next frame; `None` when none that is whole begins before byte `limit`.
    pub(super) fn next(&mut self, limit: u64) -> Result<Option<Vec<u8>>> {
        if self.at >= limit {
            return Ok(None);
        }
        let (mut length, mut expected) = ([0; 8], [0; 4]);
        if !self.fill(&mut length)? || !self.fill(&mut expected)? {
            return Ok(None);
        }
        // A torn frame's length may be anything: take no memory for more than the file has.
        let bytes = u64::from_le_bytes(length);
        let left = self.length()?.saturating_sub(self.at + FRAME_HEADER_BYTES as u64);
        let Ok(size) = usize::try_from(bytes) else { return Ok(None) };
        if bytes > left {
            return Ok(None);
        }
        let mut payload = vec![0; size];
        if !self.fill(&mut payload)? || checksum(length, &payload) != u32::from_le_bytes(expected) {
            return Ok(None);
        }
        self.at += FRAME_HEADER_BYTES as u64 + bytes;
        Ok(Some(payload))
    }

    /// Whether everything in the file was read.
    pub(super) fn is_at_end(&self) -> Result<bool> {
        Ok(self.at >= self.length()?)
    }

    /// Whether everything before byte `bytes` was read.
    pub(super) fn has_read(&self, bytes: u64) -> bool {
        self.at >= bytes
    }

    fn length(&self) -> Result<u64> {
        let metadata = self.file.get_ref().metadata();
        Ok(metadata.map_err(|error| failed("read", &self.path, error))?.len())
    }

    /// False at the end of the file.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<bool> {
        match self.file.read_exact(buffer) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(failed("read", &self.path, error)),
        }
    }
}

/// Removes the files of all segments of `directory`, readable or not.
pub(super) fn remove_all(directory: &Path) -> Result<()> {
    for begin in list(directory)? {
        let path = path(directory, begin);
        std::fs::remove_file(&path).map_err(|error| failed("remove", &path, error))?;
    }
    Ok(())
}

/// The bounds at which the segments of `directory` begin, ascending. A directory that is missing has none.
pub(super) fn list(directory: &Path) -> Result<Vec<Position>> {
    let read = || -> io::Result<Vec<Position>> {
        let mut begins = Vec::new();
        for entry in std::fs::read_dir(directory)? {
            let name = entry?.file_name();
            let begin = name.to_str().and_then(|name| name.strip_suffix(EXTENSION)?.strip_suffix('.'));
            begins.extend(begin.and_then(Position::from_object_name));
        }
        begins.sort_unstable();
        Ok(begins)
    };
    match read() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read.map_err(|error| failed("list", directory, error)),
    }
}

fn path(directory: &Path, begin: Position) -> PathBuf {
    directory.join(format!("{}.{EXTENSION}", begin.object_name()))
}

/// Creates the directory, with those above it, so that it survives a crash.
pub(super) fn create_directory(directory: &Path) -> io::Result<()> {
    let above = directory.ancestors().skip(1);
    let missing = above.take_while(|above| !above.as_os_str().is_empty() && !above.exists());
    // The directory itself always: it may have been made by a process that crashed before this.
    let entries: Vec<&Path> = std::iter::once(directory).chain(missing).collect();
    std::fs::create_dir_all(directory)?;
    for parent in entries.into_iter().filter_map(Path::parent) {
        sync_directory(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })?;
    }
    Ok(())
}

/// Makes the creation and the removal of files survive a crash.
pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// A disk that fails may be a disk that is full: trying again is right, as everywhere.
pub(super) fn failed(doing: &str, path: &Path, error: io::Error) -> Error {
    Error::retry(format!("outbox: cannot {doing} {}", path.display())).with_source(error)
}
