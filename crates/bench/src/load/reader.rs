//! Finds the end of an answer and makes sure that it is a success. Of the rest no more is read than that takes.

use anyhow::{Context, Result, bail};

/// Headers that an answer may have.
const HEADERS_MAX: usize = 32;
/// Of an answer that is none.
const SHOWN_BYTES: usize = 300;

/// What a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http,
    /// Redis's, without pipelining: one value an answer, and no arrays.
    Resp,
}

/// Reads the answers of one connection, one after the other.
#[derive(Debug)]
pub(super) struct Reader {
    protocol: Protocol,
    state: State,
    /// The beginning of a head or a chunk's size that has not arrived whole.
    pending: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    /// So many bytes are left of the answer.
    Body(usize),
    ChunkSize,
    /// So many bytes are left of the chunk and the line's end after it.
    Chunk(usize),
    /// The lines after the last chunk.
    Trailer,
}

/// A step: how many bytes were understood and what comes next. `None` for the state is the end of the answer.
type Step = Option<(usize, Option<State>)>;

impl Reader {
    pub(super) const fn new(protocol: Protocol) -> Self {
        Self { protocol, state: State::Head, pending: Vec::new() }
    }

    /// Takes what arrived. Says whether the answer is whole.
    ///
    /// # Errors
    /// It is no success, or no answer at all, or more than one.
    pub(super) fn feed(&mut self, arrived: &[u8]) -> Result<bool> {
        if self.pending.is_empty() {
            return self.advance(arrived);
        }
        let mut whole = std::mem::take(&mut self.pending);
        whole.extend_from_slice(arrived);
        self.advance(&whole)
    }

    fn advance(&mut self, mut bytes: &[u8]) -> Result<bool> {
        while !bytes.is_empty() {
            let Some((used, next)) = self.step(bytes)? else {
                self.pending.extend_from_slice(bytes);
                return Ok(false);
            };
            bytes = bytes.get(used..).unwrap_or_default();
            let Some(next) = next else {
                self.state = State::Head;
                if !bytes.is_empty() {
                    bail!("bytes after the end of an answer: {}", shown(bytes));
                }
                return Ok(true);
            };
            self.state = next;
        }
        Ok(false)
    }

    fn step(&self, bytes: &[u8]) -> Result<Step> {
        match self.state {
            State::Head if self.protocol == Protocol::Http => http_head(bytes),
            State::Head => resp_head(bytes),
            State::Body(left) => Ok(Some(part(bytes, left, State::Body, None))),
            State::Chunk(left) => Ok(Some(part(bytes, left, State::Chunk, Some(State::ChunkSize)))),
            State::ChunkSize => match httparse::parse_chunk_size(bytes) {
                Ok(httparse::Status::Complete((used, 0))) => Ok(Some((used, Some(State::Trailer)))),
                Ok(httparse::Status::Complete((used, size))) => Ok(Some((used, Some(State::Chunk(usize::try_from(size)? + 2))))),
                Ok(httparse::Status::Partial) => Ok(None),
                Err(_) => bail!("no size of a chunk: {}", shown(bytes)),
            },
            State::Trailer => {
                let line = bytes.iter().position(|byte| *byte == b'\n');
                Ok(line.map(|at| (at + 1, (at > 1).then_some(State::Trailer))))
            }
        }
    }
}

/// A part of something of which so many bytes are left.
fn part(bytes: &[u8], left: usize, more: fn(usize) -> State, then: Option<State>) -> (usize, Option<State>) {
    match left.checked_sub(bytes.len()) {
        None | Some(0) => (left, then),
        Some(rest) => (bytes.len(), Some(more(rest))),
    }
}

fn http_head(bytes: &[u8]) -> Result<Step> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Response::new(&mut headers);
    let parsed = head.parse(bytes).with_context(|| format!("no HTTP answer: {}", shown(bytes)))?;
    let httparse::Status::Complete(used) = parsed else { return Ok(None) };
    if !matches!(head.code, Some(200 | 201)) {
        bail!("answered {}: {}", head.code.unwrap_or_default(), shown(bytes));
    }
    let value = |name: &str| head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value);
    if let Some(length) = value("content-length") {
        let length: usize = std::str::from_utf8(length)?.trim().parse().context("an answer's length")?;
        return Ok(Some((used, (length > 0).then_some(State::Body(length)))));
    }
    match value("transfer-encoding") {
        Some(coding) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Some((used, Some(State::ChunkSize)))),
        _ => bail!("an answer without a length: {}", shown(bytes)),
    }
}

fn resp_head(bytes: &[u8]) -> Result<Step> {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
    let line = bytes.get(..end).unwrap_or_default().trim_ascii_end();
    match line.split_first() {
        Some((b'+' | b':', _)) => Ok(Some((end + 1, None))),
        // A key that is not there has the length -1: a load that reads nothing is none.
        Some((b'$', length)) => {
            let length = std::str::from_utf8(length).ok().and_then(|text| text.parse::<usize>().ok());
            let length = length.with_context(|| format!("Redis has no such value: {}", shown(bytes)))?;
            Ok(Some((end + 1, Some(State::Body(length + 2)))))
        }
        _ => bail!("Redis answered {}", shown(bytes)),
    }
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.get(..SHOWN_BYTES).unwrap_or(bytes)).escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 5\r\n\r\nhello";
    const EMPTY: &[u8] = b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n";
    const CHUNKED: &[u8] =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1A\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n";
    const TRAILED: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nA: b\r\n\r\n";

    #[test]
    fn an_answer_ends_where_it_ends_however_it_is_cut() {
        let resp: [&[u8]; 3] = [b"+OK\r\n", b"$3\r\na\nb\r\n", b"$0\r\n\r\n"];
        let http = [PLAIN, EMPTY, CHUNKED, TRAILED].map(|answer| (Protocol::Http, answer));
        for (protocol, answer) in http.into_iter().chain(resp.map(|answer| (Protocol::Resp, answer))) {
            for cut in 1..answer.len() {
                let mut reader = Reader::new(protocol);
                let shown = String::from_utf8_lossy(answer);
                assert!(!reader.feed(&answer[..cut]).unwrap(), "{shown} cut at {cut}");
                assert!(reader.feed(&answer[cut..]).unwrap(), "{shown} cut at {cut}");
                assert!(reader.feed(answer).unwrap(), "the next one after {shown} cut at {cut}");
            }
            let mut reader = Reader::new(protocol);
            let ends: Vec<bool> = answer.iter().map(|byte| reader.feed(&[*byte]).unwrap()).collect();
            assert_eq!(ends.iter().position(|whole| *whole), Some(answer.len() - 1));
        }
    }

    #[test]
    fn what_is_no_success_is_an_error_that_shows_it() {
        for (protocol, answer) in [
            (Protocol::Http, &b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"[..]),
            (Protocol::Http, b"HTTP/1.1 200 OK\r\n\r\n"),
            (Protocol::Http, b"-ERR no\r\n"),
            (Protocol::Resp, b"-ERR no\r\n"),
            (Protocol::Resp, b"$-1\r\n"),
            (Protocol::Resp, b"+OK\r\n+OK\r\n"),
        ] {
            let error = Reader::new(protocol).feed(answer).unwrap_err();
            assert!(!format!("{error:#}").is_empty());
        }
        let error = Reader::new(Protocol::Http).feed(b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone").unwrap_err();
        assert!(error.to_string().contains("404") && error.to_string().contains("gone"), "{error}");
    }
}
