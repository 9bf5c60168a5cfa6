//! One connection of the generator: a request under way at most, and never waiting.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, TcpStream},
    time::Instant,
};

use anyhow::{Context, Result, bail};

use super::{
    reader::{Protocol, Reader},
    requests::{Kind, Requests},
};

/// A connection.
pub(super) struct Connection {
    stream: TcpStream,
    reader: Reader,
    request: Vec<u8>,
    written: usize,
    flight: Option<Flight>,
}

/// A request that is under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flight {
    pub(super) intended: Instant,
    pub(super) sent: Instant,
    pub(super) kind: Kind,
}

impl Connection {
    pub(super) fn open(port: u16, protocol: Protocol) -> Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).with_context(|| format!("connecting to port {port}"))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, reader: Reader::new(protocol), request: Vec::new(), written: 0, flight: None })
    }

    pub(super) const fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// The request that is under way.
    pub(super) const fn flight(&self) -> Option<Flight> {
        self.flight
    }

    /// Sends the n-th request.
    pub(super) fn send(&mut self, number: u64, requests: &mut Requests, intended: Instant, now: Instant) -> Result<()> {
        self.request.clear();
        self.written = 0;
        let kind = requests.write(number, &mut self.request);
        self.flight = Some(Flight { intended, sent: now, kind });
        self.write()
    }

    /// Goes on after the kernel said that there is something to do. Gives the request that was answered.
    pub(super) fn go_on(&mut self, buffer: &mut [u8]) -> Result<Option<Flight>> {
        self.write()?;
        loop {
            let count = match self.stream.read(buffer) {
                Ok(0) => bail!("the server closed a connection"),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("reading an answer"),
            };
            if self.reader.feed(buffer.get(..count).unwrap_or_default())? {
                return self.flight.take().map(Some).context("an answer to no request");
            }
            // Less than there was room for is all that there is; the kernel tells of more.
            if count < buffer.len() {
                return Ok(None);
            }
        }
    }

    fn write(&mut self) -> Result<()> {
        while let Some(rest) = self.request.get(self.written..).filter(|rest| !rest.is_empty()) {
            match self.stream.write(rest) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("sending a request"),
            }
        }
        Ok(())
    }
}
