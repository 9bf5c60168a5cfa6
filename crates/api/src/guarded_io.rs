//! `GuardedIo`: a socket with what hyper does not watch: readers too slow for their answer, heads whose framing is ambiguous, and
//! hyper's own bare answers to malformed heads, which go out as problems.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{Request, header};
use kvstore_types::limits::HEAD_BYTES_MAX;
use std::sync::{Mutex, PoisonError};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep},
};

use crate::errors::{Kind, TYPE_PREFIX};

/// Bytes of a head that are kept, with some room for what came before it in the same read.
const KEPT_BYTES: usize = 2 * HEAD_BYTES_MAX;

/// Marks a request whose body has an ambiguous length. hyper itself would take `Transfer-Encoding` and hide `Content-Length`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AmbiguousFraming;

/// What the socket and the connection's service tell each other.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// What was read since the last answer: the head of the next request.
    head: Mutex<Vec<u8>>,
    /// A request is being answered: what is read now is its body.
    answering: AtomicBool,
    /// The peer has closed its side.
    ended: AtomicBool,
}

impl Watch {
    /// A request has come. Whether its framing is ambiguous: a chunked body beside a `Content-Length`, another transfer coding than
    /// `chunked`, or a chunked request sent before the answer to the one before, of which the head was not seen.
    pub(crate) fn begin<B>(&self, request: &Request<B>) -> bool {
        self.answering.store(true, Ordering::Relaxed);
        let mut head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        let mut codings = request.headers().get_all(header::TRANSFER_ENCODING).into_iter();
        let ambiguous = codings.next().is_some_and(|coding| {
            !coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked")
                || codings.next().is_some()
                || has_content_length(&head, request.method().as_str()).unwrap_or(true)
        });
        head.clear();
        ambiguous
    }

    /// The answer's head is ready.
    pub(crate) fn answered(&self) {
        self.answering.store(false, Ordering::Relaxed);
    }

    /// Whether the peer has closed its side.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Whether a part of a head has come.
    pub(crate) fn has_partial_head(&self) -> bool {
        !self.answering.load(Ordering::Relaxed) && !self.head.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn read(&self, bytes: &[u8]) {
        if bytes.is_empty() {
            self.ended.store(true, Ordering::Relaxed);
        } else if !self.answering.load(Ordering::Relaxed) {
            let mut head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
            let room = KEPT_BYTES.saturating_sub(head.len());
            head.extend_from_slice(bytes.get(..bytes.len().min(room)).unwrap_or_default());
        }
    }
}

/// Whether the last head that begins with this method has a `Content-Length`; `None` where there is no such head.
fn has_content_length(read: &[u8], method: &str) -> Option<bool> {
    let lines: Vec<&[u8]> = read.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)).collect();
    // A request line has three parts and ends with the version; the first of this method that a chunked head follows is ours.
    let is_request_line =
        |line: &[u8]| line.strip_prefix(method.as_bytes()).is_some_and(|rest| rest.starts_with(b" ") && rest.ends_with(b" HTTP/1.1"));
    for (at, _) in lines.iter().enumerate().filter(|(_, line)| is_request_line(line)) {
        let head: Vec<&[u8]> = lines.iter().skip(at + 1).take_while(|line| !line.is_empty()).copied().collect();
        if head.iter().any(|line| is_field(line, b"transfer-encoding")) {
            return Some(head.iter().any(|line| is_field(line, b"content-length")));
        }
    }
    None
}

fn is_field(line: &[u8], name: &[u8]) -> bool {
    line.split_at_checked(name.len())
        .is_some_and(|(start, rest)| start.eq_ignore_ascii_case(name) && rest.trim_ascii_start().starts_with(b":"))
}

/// The socket.
pub(crate) struct GuardedIo {
    stream: TcpStream,
    watch: Arc<Watch>,
    send_timeout: Duration,
    /// Runs while a write waits for the peer.
    waiting: Option<Pin<Box<Sleep>>>,
    is_waiting: bool,
    /// Our own answer in place of hyper's, and how much of it is sent.
    replaced: Option<(Vec<u8>, usize)>,
}

impl GuardedIo {
    pub(crate) const fn new(stream: TcpStream, watch: Arc<Watch>, send_timeout: Duration) -> Self {
        Self { stream, watch, send_timeout, waiting: None, is_waiting: false, replaced: None }
    }

    /// Fails a write that has made no progress for too long.
    fn guard<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.is_waiting = false;
            return written;
        }
        let until = Instant::now() + self.send_timeout;
        let sleep = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        if !self.is_waiting {
            self.is_waiting = true;
            sleep.as_mut().reset(until);
        }
        ready!(sleep.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read its answer")))
    }

    /// Sends our answer in place of hyper's bare one.
    fn poll_replaced(&mut self, cx: &mut Context<'_>, original: usize) -> Poll<io::Result<usize>> {
        while let Some((answer, sent)) = &mut self.replaced {
            let rest = answer.get(*sent..).unwrap_or_default();
            if rest.is_empty() {
                self.replaced = None;
                break;
            }
            let written = Pin::new(&mut self.stream).poll_write(cx, rest);
            let written = ready!(self.guard(cx, written))?;
            if let Some((_, sent)) = &mut self.replaced {
                *sent += written;
            }
        }
        Poll::Ready(Ok(original))
    }
}

/// hyper answers a malformed head with a status and nothing else; no answer of a view looks like that.
fn bare_status(head: &[u8]) -> Option<u16> {
    let status = head.strip_prefix(b"HTTP/1.1 4")?;
    let code = std::str::from_utf8(status.get(..2)?).ok()?.parse::<u16>().ok()? + 400;
    let bare = head.windows(19).any(|window| window.eq_ignore_ascii_case(b"content-length: 0\r\n")) && head.ends_with(b"\r\n\r\n");
    (bare && matches!(code, 400 | 414 | 431)).then_some(code)
}

/// An answer for where no view has a say.
pub(crate) fn canned(status: u16) -> Vec<u8> {
    let (kind, detail) = match status {
        408 => (Kind::HeadTimeout, "Send the whole head of the request at once."),
        414 => (Kind::UriTooLong, "Shorten the path or the query."),
        431 => (Kind::HeadTooLarge, "Send fewer or shorter header fields."),
        503 => (Kind::Overloaded, "Too many connections are open; try again later."),
        _ => (Kind::BadRequest, "The head of the request is not HTTP/1.1."),
    };
    let (status, slug, title) = kind.row();
    // Nothing was read that could be applied.
    let (extra, outcome) = if kind == Kind::Overloaded { ("retry-after: 1\r\n", ",\"outcome\":\"not_applied\"") } else { ("", "") };
    let number = status.as_u16();
    let body = format!(
        "{{\"type\":\"{TYPE_PREFIX}{slug}\",\"title\":\"{title}\",\"status\":{number},\"detail\":\"{detail}\"{outcome},\"request_id\":\"-\"}}"
    );
    let head =
        format!("HTTP/1.1 {status}\r\ncontent-type: application/problem+json\r\ncache-control: no-store\r\n{extra}connection: close\r\n");
    format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

impl AsyncRead for GuardedIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let had_room = buffer.remaining() > 0;
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if had_room {
            self.watch.read(buffer.filled().get(before..).unwrap_or_default());
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for GuardedIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.replaced.is_none()
            && let Some(status) = bare_status(bytes)
        {
            self.replaced = Some((canned(status), 0));
        }
        if self.replaced.is_some() {
            return self.poll_replaced(cx, bytes.len());
        }
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.guard(cx, written)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if let [only] = parts {
            return self.poll_write(cx, only);
        }
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.guard(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_lengths_in_one_head_are_seen() {
        let seen = |text: &str| has_content_length(text.as_bytes(), "PUT");
        assert_eq!(seen("PUT /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"), Some(false));
        assert_eq!(seen("PUT /a HTTP/1.1\r\nContent-Length: 3\r\ntransfer-encoding: chunked\r\n\r\n"), Some(true));
        assert_eq!(seen("PUT /a HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n"), Some(true));
        let body_names_it = "PUT /a HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n12\r\ncontent-length: 3\r\n\r\n";
        assert_eq!(seen(body_names_it), Some(false), "a body may hold anything");
        assert_eq!(seen("GET /a HTTP/1.1\r\n\r\n"), None);
    }

    #[test]
    fn only_bare_answers_are_replaced() {
        assert_eq!(bare_status(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"), Some(400));
        assert_eq!(bare_status(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"), None);
        assert_eq!(bare_status(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 10\r\n\r\n"), None);
    }
}
