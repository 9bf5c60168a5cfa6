//! The bytes of an import: a file or stdin, as it is or compressed. It can be read on from a place that was reached before.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context, ensure};

use super::super::{compression::Compression, files::cant_read};

const BUFFER_BYTES: usize = 256 << 10;

/// What is read, as plain bytes.
pub(super) struct Input {
    reader: Reader,
    /// Bytes of the file as it lies there, if that is known.
    pub(super) bytes: Option<u64>,
    /// How many of those were read.
    pub(super) read: Arc<AtomicU64>,
}

enum Reader {
    File(BufReader<Counted<File>>),
    Stream(Box<dyn BufRead + Send>),
}

impl Input {
    /// Opens a file; `-` is stdin.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let read = Arc::new(AtomicU64::new(0));
        if path.as_os_str() == "-" {
            let mut stdin = BufReader::with_capacity(BUFFER_BYTES, Counted { inner: io::stdin(), read: Arc::clone(&read) });
            let compression = Compression::of_bytes(stdin.fill_buf().context("can't read stdin")?);
            return Ok(Self { reader: Reader::Stream(compression.reader(Box::new(stdin))?), bytes: None, read });
        }
        let named = || cant_read(path);
        let file = File::open(path).with_context(named)?;
        let metadata = file.metadata().with_context(named)?;
        ensure!(!metadata.is_dir(), "{} is a directory; name a file of JSON lines", path.display());
        let bytes = metadata.is_file().then_some(metadata.len());
        let mut file = BufReader::with_capacity(BUFFER_BYTES, Counted { inner: file, read: Arc::clone(&read) });
        // A file that is compressed under another name is found by its first bytes.
        let compression = match Compression::of_path(path) {
            Compression::None => Compression::of_bytes(file.fill_buf().with_context(named)?),
            named => named,
        };
        let reader = match compression {
            Compression::None if bytes.is_some() => Reader::File(file),
            compression => Reader::Stream(compression.reader(Box::new(file))?),
        };
        Ok(Self { reader, bytes, read })
    }

    pub(super) fn reader(&mut self) -> &mut (dyn BufRead + Send) {
        match &mut self.reader {
            Reader::File(file) => file,
            Reader::Stream(stream) => stream,
        }
    }

    /// Passes over bytes. Where the input ends before, the next read says so.
    pub(super) fn skip(&mut self, bytes: u64) -> io::Result<()> {
        match &mut self.reader {
            Reader::File(file) => file.seek_relative(i64::try_from(bytes).unwrap_or(i64::MAX)),
            Reader::Stream(stream) => io::copy(&mut stream.take(bytes), &mut io::sink()).map(drop),
        }
    }

    /// The hash of the next bytes, and whether there were as many.
    pub(super) fn hash(&mut self, bytes: u64) -> io::Result<(blake3::Hash, bool)> {
        let mut hasher = blake3::Hasher::new();
        let read = io::copy(&mut self.reader().take(bytes), &mut hasher)?;
        Ok((hasher.finalize(), read == bytes))
    }
}

/// Counts the bytes that are read.
struct Counted<R> {
    inner: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(out)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl<R: Seek> Seek for Counted<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = self.inner.seek(to)?;
        self.read.store(at, Ordering::Relaxed);
        Ok(at)
    }
}
