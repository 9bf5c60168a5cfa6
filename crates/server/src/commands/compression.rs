//! Compressed files: gzip and zstd, read as streams and written in parts that are whole by themselves. Which it is, the file's name
//! says; of stdin, and of a file whose name says nothing, its first bytes.
//!
//! Input that ends in the middle, or is damaged, is an error with the file's own words, never a shorter file.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    path::Path,
};

use flate2::{bufread::MultiGzDecoder, write::GzEncoder};
use zstd_safe::{CCtx, CParameter, DCtx, DParameter, InBuffer, OutBuffer};

/// Bytes that are compressed or decompressed at one time.
const CHUNK_BYTES: usize = 128 << 10;
/// The largest window of a zstd frame, as a power of two: what decompressing it takes in memory.
const ZSTD_WINDOW_LOG_MAX: u32 = 26;
/// Below gzip's own default of 6: an export waits for it.
const GZIP_LEVEL: u32 = 3;
/// zstd's own default.
const ZSTD_LEVEL: i32 = 3;

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// By the extension of a file's name.
    pub(super) fn of_path(path: &Path) -> Self {
        let extension = path.extension().map(|extension| extension.to_ascii_lowercase());
        match extension.as_deref().and_then(|extension| extension.to_str()) {
            Some("gz" | "gzip") => Self::Gzip,
            Some("zst" | "zstd") => Self::Zstd,
            _ => Self::None,
        }
    }

    /// By the first bytes. No text begins with these.
    pub(super) fn of_bytes(bytes: &[u8]) -> Self {
        match bytes {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ => Self::None,
        }
    }

    /// The plain bytes of what is read.
    pub(super) fn reader(self, inner: Box<dyn BufRead + Send>) -> io::Result<Box<dyn BufRead + Send>> {
        Ok(match self {
            Self::None => inner,
            Self::Gzip => Box::new(BufReader::with_capacity(CHUNK_BYTES, GzipReader(MultiGzDecoder::new(inner)))),
            Self::Zstd => Box::new(BufReader::with_capacity(CHUNK_BYTES, ZstdReader::new(inner)?)),
        })
    }

    /// A whole of its own: a gzip member or a zstd frame. Such that follow each other are one file, so it can be cut between them.
    pub(super) fn pack(self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::None => Ok(bytes.to_vec()),
            Self::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::new(GZIP_LEVEL));
                encoder.write_all(bytes)?;
                encoder.finish()
            }
            Self::Zstd => {
                let mut context = CCtx::create();
                context.set_parameter(CParameter::CompressionLevel(ZSTD_LEVEL)).map_err(zstd_error)?;
                context.set_parameter(CParameter::ChecksumFlag(true)).map_err(zstd_error)?;
                let mut packed = Vec::with_capacity(zstd_safe::compress_bound(bytes.len()));
                context.compress2(&mut packed, bytes).map_err(zstd_error)?;
                Ok(packed)
            }
        }
    }
}

struct GzipReader<R>(MultiGzDecoder<R>);

impl<R: BufRead> Read for GzipReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.0.read(out).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => cut_off("gzip"),
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => damaged("gzip", &error),
            _ => error,
        })
    }
}

struct ZstdReader<R> {
    inner: R,
    context: DCtx<'static>,
    in_frame: bool,
}

impl<R> ZstdReader<R> {
    fn new(inner: R) -> io::Result<Self> {
        let mut context = DCtx::create();
        context.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX)).map_err(zstd_error)?;
        Ok(Self { inner, context, in_frame: false })
    }
}

impl<R: BufRead> Read for ZstdReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let input = self.inner.fill_buf()?;
            let at_end = input.is_empty();
            if at_end && !self.in_frame {
                return Ok(0);
            }
            let mut source = InBuffer::around(input);
            let mut target = OutBuffer::around(out);
            let left = self.context.decompress_stream(&mut target, &mut source).map_err(zstd_error)?;
            let (read, written) = (source.pos(), target.pos());
            self.inner.consume(read);
            // 0 means that a frame ended here, and all of it was given out.
            self.in_frame = left != 0;
            if written > 0 || out.is_empty() {
                return Ok(written);
            }
            if at_end && self.in_frame {
                return Err(cut_off("zstd"));
            }
        }
    }
}

fn cut_off(kind: &str) -> io::Error {
    let text = format!("its {kind} data ends in the middle: the file is cut off; make or fetch it again");
    io::Error::new(io::ErrorKind::UnexpectedEof, text)
}

fn damaged(kind: &str, why: &impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("its {kind} data is damaged ({why}); make or fetch it again"))
}

fn zstd_error(code: usize) -> io::Error {
    damaged("zstd", &zstd_safe::get_error_name(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(how: Compression, bytes: &[u8]) -> Vec<u8> {
        how.pack(bytes).expect("it is packed")
    }

    fn unpacked(how: Compression, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        how.reader(Box::new(io::Cursor::new(bytes.to_vec())))?.read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn what_was_packed_comes_back_and_frames_follow_each_other() {
        let bytes: Vec<u8> = (0..1_000_000_u32).map(|at| (at.wrapping_mul(at) >> 7) as u8).collect();
        for how in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let twice = [packed(how, &bytes), packed(how, b""), packed(how, b"end")].concat();
            assert_eq!(unpacked(how, &twice).expect("whole"), [&bytes[..], b"end"].concat(), "{how:?}");
        }
    }

    #[test]
    fn what_is_cut_off_or_damaged_is_an_error() {
        let bytes: Vec<u8> = (0..100_000_u32).map(|at| (at.wrapping_mul(at) >> 7) as u8).collect();
        for how in [Compression::Gzip, Compression::Zstd] {
            let whole = packed(how, &bytes);
            assert_eq!(Compression::of_bytes(&whole), how);
            for end in [1, 10, whole.len() / 2, whole.len() - 1] {
                let error = unpacked(how, &whole[..end]).expect_err("it is cut off");
                assert!(error.to_string().contains("ends in the middle"), "{how:?} cut to {end} said {error}");
            }
            let mut flipped = whole.clone();
            flipped[whole.len() / 2] ^= 0x55;
            let error = unpacked(how, &flipped).expect_err("it is damaged");
            assert!(error.to_string().contains("damaged") || error.to_string().contains("middle"), "{how:?} said {error}");
        }
    }
}
