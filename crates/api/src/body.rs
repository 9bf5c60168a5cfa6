//! Bodies: receiving one within its limits and the byte budget, and sending one that holds its share of the budget.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use kvstore_service::Reservation;
use kvstore_types::limits::{BODY_COPIES, ITEM_OVERHEAD_BYTES};
use tokio::time::Instant;

use crate::{
    api::Api,
    errors::{Kind, Problem},
};

/// A body of these bytes.
pub(crate) fn full(bytes: Bytes) -> Body {
    Body::from(bytes)
}

/// A limit with the name of its setting.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    pub(crate) bytes: usize,
    pub(crate) name: &'static str,
}

/// A body that has arrived, with its share of the budget.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) bytes: Vec<u8>,
    pub(crate) reservation: Reservation,
}

impl Received {
    /// Gives the body up for a batch of so many items and bytes that was parsed from it, which takes more where items are short, and
    /// less where values were base64. The share that is left is held until the answer is sent.
    ///
    /// # Errors
    /// 503 without room. Nothing was written yet.
    pub(crate) fn parsed(self, api: &Api, items: usize, weight: usize) -> Result<Reservation, Problem> {
        let Self { bytes, mut reservation } = self;
        drop(bytes);
        let holds = copies(weight) + (items * ITEM_OVERHEAD_BYTES) as u64;
        // One whose body just fitted is not refused for what surrounds its items.
        if reservation.set(holds.min(api.service.budget().limit())) { Ok(reservation) } else { Err(no_room()) }
    }
}

/// What a body or a batch of so many bytes takes, at most: while it is parsed, as it arrived and as values; then as values and as
/// the engine's write.
const fn copies(bytes: usize) -> u64 {
    bytes as u64 * BODY_COPIES
}

/// Receives a body. Room for its declared length, and for the copies that will be made of it, is taken out of the budget before the
/// first byte is read; without a declared length, as it arrives.
///
/// # Errors
/// 413 over the limit, 503 without room, 408 where it stalls, 400 where it breaks off.
pub(crate) async fn receive(api: &Api, headers: &HeaderMap, mut body: Body, limit: Limit) -> Result<Received, Problem> {
    let declared = declared_length(headers);
    if declared > limit.bytes as u64 {
        return Err(too_large(limit, Some(declared)));
    }
    let declared = declared as usize;
    if copies(declared) > api.service.budget().limit() {
        return Err(over_budget(api));
    }
    let reservation = api.service.reserve(copies(declared)).map_err(|error| Problem::from(error).close())?;
    let mut received = Received { bytes: Vec::with_capacity(declared), reservation };
    let deadline = Instant::now() + api.options.body_timeout;
    while let Some(data) = next_data(&mut body, api.options.body_idle_timeout, deadline).await? {
        let length = received.bytes.len() + data.len();
        if length > limit.bytes {
            return Err(too_large(limit, None));
        }
        let missing = copies(length).saturating_sub(received.reservation.bytes());
        if missing > 0 && !received.reservation.grow(missing) {
            return Err(if copies(length) > api.service.budget().limit() { over_budget(api) } else { no_room().close() });
        }
        received.bytes.extend_from_slice(&data);
    }
    Ok(received)
}

/// The length that the head declares; 0 where it declares none.
fn declared_length(headers: &HeaderMap) -> u64 {
    headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok()).unwrap_or(0)
}

/// The next piece of a body. A piece that is there already costs no timer.
async fn next_data(body: &mut Body, idle: Duration, deadline: Instant) -> Result<Option<Bytes>, Problem> {
    loop {
        let mut frame = pin!(body.frame());
        let at_once = poll_fn(|cx| Poll::Ready(frame.as_mut().poll(cx))).await;
        let next = match at_once {
            Poll::Ready(next) => next,
            Poll::Pending => {
                let until = deadline.min(Instant::now() + idle);
                tokio::time::timeout_at(until, frame).await.map_err(|_| timed_out(until == deadline))?
            }
        };
        match next {
            None => return Ok(None),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => return Ok(Some(data)),
                // Trailers say nothing that this server takes.
                Err(_) => continue,
            },
            Some(Err(_)) => return Err(Problem::new(Kind::BadRequest, "The body broke off or is not framed as HTTP asks.").close()),
        }
    }
}

fn timed_out(whole: bool) -> Problem {
    let detail = if whole { "The body took too long to arrive." } else { "No further part of the body arrived in time." };
    Problem::new(Kind::BodyTimeout, detail).close()
}

fn too_large(limit: Limit, declared: Option<u64>) -> Problem {
    let Limit { bytes, name } = limit;
    let detail = match declared {
        Some(length) => format!("The body has {length} bytes; the limit is {bytes} ({name})."),
        None => format!("The body is longer than {bytes} bytes, which is the limit ({name})."),
    };
    Problem::new(Kind::TooLarge, detail).close()
}

fn no_room() -> Problem {
    Problem::overloaded("The memory for requests in flight is used up; try again later.")
}

fn over_budget(api: &Api) -> Problem {
    let limit = api.service.budget().limit() / BODY_COPIES;
    let detail = format!("The body is larger than the memory for requests in flight allows: {limit} bytes (an eighth of memory_mb).");
    Problem::new(Kind::TooLarge, detail).close()
}

/// A body that holds its share of the budget until it is sent or dropped.
pub(crate) struct Held<B> {
    body: B,
    _reservation: Reservation,
}

impl<B> Held<B> {
    pub(crate) const fn new(body: B, reservation: Reservation) -> Self {
        Self { body, _reservation: reservation }
    }
}

impl<B: HttpBody + Unpin> HttpBody for Held<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer to HEAD whose length is not known without reading the value: empty, and saying nothing of a length.
pub(crate) struct NoLength;

impl HttpBody for NoLength {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(None)
    }
}
