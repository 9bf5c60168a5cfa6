//! A backup as a tar archive on its way to the client. Files are read on a blocking thread, a few pieces ahead of the client and no
//! faster than the rate; the form is that of `kvstore_types::backup`.
//!
//! A client that goes away ends it, as does the end of the server: both drop the body, and the thread finds nobody who takes the
//! next piece. A file that can't be read breaks the answer off, so that it can't be taken for a whole one.

use std::{
    io::{self, BufReader, Read, Write},
    time::Duration,
};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use kvstore_service::BackupAnswer;
use kvstore_types::{
    backup::{MANIFEST, SUMS, Summing, Sums},
    limits::{BACKUP_PIECE_BYTES, BACKUP_PIECES_MAX},
};
use tokio::{
    sync::mpsc::{Receiver, Sender, channel},
    time::Instant,
};

/// How fast pieces go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    /// 0 for as fast as they come.
    pub(crate) bytes_per_second: u64,
}

impl Rate {
    fn time_of(self, bytes: usize) -> Duration {
        let nanos = (bytes as u128 * 1_000_000_000).checked_div(self.bytes_per_second.into()).unwrap_or(0);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

type Piece = io::Result<Bytes>;

/// The archive as a body.
pub(crate) fn body(backup: BackupAnswer, rate: Rate) -> Body {
    let (out, pieces) = channel(BACKUP_PIECES_MAX);
    tokio::task::spawn_blocking(move || send(backup, &out));
    let paced = (pieces, Instant::now());
    Body::from_stream(stream::unfold(paced, move |(mut pieces, mut due): (Receiver<Piece>, Instant)| async move {
        let piece = pieces.recv().await?;
        tokio::time::sleep_until(due).await;
        let length = piece.as_ref().map_or(0, Bytes::len);
        // A client that was slower than the rate does not get a burst for it.
        due = due.max(Instant::now()) + rate.time_of(length);
        Some((piece, (pieces, due)))
    }))
}

fn send(backup: BackupAnswer, out: &Sender<Piece>) {
    let (revision, started) = (backup.manifest().revision().0, Instant::now());
    tracing::info!(revision, bytes = backup.manifest().bytes(), files = backup.manifest().files.len(), "a backup is being sent");
    match write(&backup, out) {
        Ok(()) => tracing::info!(revision, seconds = started.elapsed().as_secs(), "the backup was sent"),
        Err(_) if out.is_closed() => tracing::warn!(revision, "the backup broke off: its client went away, or the server stops"),
        Err(error) => {
            tracing::error!(revision, %error, "the backup broke off");
            // Nobody who takes it is no news.
            let _ = out.blocking_send(Err(error));
        }
    }
}

fn write(backup: &BackupAnswer, out: &Sender<Piece>) -> io::Result<()> {
    let manifest = backup.manifest();
    let mut archive = Archive {
        tar: tar::Builder::new(Pieces { out, piece: BytesMut::with_capacity(BACKUP_PIECE_BYTES) }),
        sums: Sums::default(),
        seconds: u64::try_from(manifest.stamp().as_micros() / 1_000_000).unwrap_or(0),
    };
    let list = manifest.to_json();
    archive.append(MANIFEST, list.len() as u64, &*list)?;
    for file in &manifest.files {
        archive.append(&file.path(), file.bytes, BufReader::with_capacity(BACKUP_PIECE_BYTES, backup.open(file)?))?;
    }
    archive.finish()
}

struct Archive<'a> {
    tar: tar::Builder<Pieces<'a>>,
    sums: Sums,
    /// The time that entries have.
    seconds: u64,
}

impl Archive<'_> {
    fn append(&mut self, path: &str, bytes: u64, contents: impl Read) -> io::Result<()> {
        let mut contents = Summed { inner: contents.take(bytes), summing: Summing::default() };
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes);
        header.set_mode(0o600);
        header.set_mtime(self.seconds);
        self.tar.append_data(&mut header, path, &mut contents)?;
        let missing = contents.inner.limit();
        if missing > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("{path} ended {missing} bytes early")));
        }
        self.sums.add(path, contents.summing.finish());
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        let sums = self.sums.to_text();
        self.append(SUMS, sums.len() as u64, sums.as_bytes())?;
        self.tar.into_inner()?.flush()
    }
}

/// Computes the checksum of what is read through it.
struct Summed<R> {
    inner: io::Take<R>,
    summing: Summing,
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.summing.update(buffer.get(..length).unwrap_or_default());
        Ok(length)
    }
}

/// Sends what is written to it in pieces of one size.
struct Pieces<'a> {
    out: &'a Sender<Piece>,
    piece: BytesMut,
}

impl Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(BACKUP_PIECE_BYTES - self.piece.len());
        self.piece.extend_from_slice(bytes.get(..taken).unwrap_or_default());
        if self.piece.len() == BACKUP_PIECE_BYTES {
            self.flush()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, BytesMut::with_capacity(BACKUP_PIECE_BYTES));
        self.out.blocking_send(Ok(piece.freeze())).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
