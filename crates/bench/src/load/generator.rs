//! The generator: one thread, one epoll, and as many connections as are told.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;
use rustix::{
    buffer::spare_capacity,
    event::{Timespec, epoll},
    fd::OwnedFd,
    io::Errno,
};

use super::{
    Sample, Server,
    connection::{Connection, Flight},
    pace::{Next, Pace, Stop},
    requests::{Kind, Plan, Requests},
    timer::Timer,
};
use crate::usage::{Meter, Usage, thread_time};

/// The longest that one request may take, and that a run may fall behind.
const REQUEST_MAX: Duration = Duration::from_secs(60);
/// Looks at the clock at least so often.
const WAIT_SECONDS_MAX: i64 = 1;
/// The longest latency that is told apart, in microseconds.
const LATENCY_US_MAX: u64 = 600_000_000;
const BUFFER_BYTES: usize = 256 << 10;
const EVENTS_MAX: usize = 256;
/// The event of the timer; those of connections are their places.
const TIMER: u64 = u64::MAX;

/// A load on a server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) server: Server,
    pub(crate) plan: Plan,
    pub(crate) connections: usize,
    pub(crate) pace: Pace,
}

/// What a run found: latencies in microseconds.
pub(crate) struct Latencies {
    pub(crate) reads: Histogram<u64>,
    pub(crate) writes: Histogram<u64>,
    /// All, from the actual sending.
    pub(crate) from_sent: Histogram<u64>,
    pub(crate) seconds: f64,
    pub(crate) usage: Usage,
}

impl Load {
    /// Runs for so long.
    pub(crate) async fn run_for(self, time: Duration) -> Result<Latencies> {
        self.run(Stop::after(time)).await
    }

    /// Runs to the end. An answer that is no success fails the run.
    pub(crate) async fn run(self, stop: Stop) -> Result<Latencies> {
        tokio::task::spawn_blocking(move || Generator::new(&self, &stop)?.run()).await?
    }
}

impl Latencies {
    /// Reads and writes together.
    pub(crate) fn all(&self) -> Result<Histogram<u64>> {
        let mut all = self.reads.clone();
        all.add(&self.writes)?;
        Ok(all)
    }

    /// All of them, summed up.
    pub(crate) fn sample(&self) -> Result<Sample> {
        Ok(Sample::of(&self.all()?, self.seconds, self.usage))
    }
}

struct Generator {
    epoll: OwnedFd,
    timer: Timer,
    requests: Requests,
    connections: Vec<Connection>,
    /// Places of connections with nothing under way, the one that has waited longest first.
    idle: VecDeque<usize>,
    pace: Pace,
    stop: Stop,
    number: u64,
    meter: Meter,
    processor: Duration,
    found: [Histogram<u64>; 3],
}

impl Generator {
    fn new(load: &Load, stop: &Stop) -> Result<Self> {
        let (epoll, timer) = (epoll::create(epoll::CreateFlags::CLOEXEC)?, Timer::new()?);
        epoll::add(&epoll, timer.descriptor(), epoll::EventData::new_u64(TIMER), epoll::EventFlags::IN | epoll::EventFlags::ET)?;
        let Server { port, pid, dialect } = load.server;
        let requests = load.plan.prepare(dialect)?;
        let mut connections = Vec::with_capacity(load.connections);
        for place in 0..load.connections {
            let connection = Connection::open(port, dialect.protocol())?;
            // Told once for each change, so that nothing need be changed here for a request.
            let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
            epoll::add(&epoll, connection.stream(), epoll::EventData::new_u64(place as u64), flags)?;
            connections.push(connection);
        }
        let empty = Histogram::new_with_bounds(1, LATENCY_US_MAX, 3)?;
        Ok(Self {
            epoll,
            timer,
            requests,
            idle: (0..load.connections).collect(),
            connections,
            pace: load.pace,
            stop: stop.restarted(),
            number: 0,
            meter: Meter::start(pid)?,
            processor: thread_time(),
            found: [empty.clone(), empty.clone(), empty],
        })
    }

    fn run(mut self) -> Result<Latencies> {
        let started = Instant::now();
        let (mut buffer, mut events) = (vec![0; BUFFER_BYTES], Vec::with_capacity(EVENTS_MAX));
        while self.release()? || self.idle.len() < self.connections.len() {
            self.wait(&mut events)?;
            for event in &events {
                let place = event.data.u64();
                if place == TIMER {
                    self.timer.went_off();
                } else {
                    self.go_on(usize::try_from(place)?, &mut buffer)?;
                }
            }
        }
        let usage = self.meter.stop(thread_time().saturating_sub(self.processor))?;
        let seconds = self.stop.planned().min(started.elapsed()).as_secs_f64();
        let [reads, writes, from_sent] = self.found;
        if from_sent.is_empty() {
            bail!("nothing was answered in {seconds:.1} s");
        }
        Ok(Latencies { reads, writes, from_sent, seconds, usage })
    }

    /// Sends what is due as far as connections are free. Says whether there is more to come.
    fn release(&mut self) -> Result<bool> {
        let mut now = Instant::now();
        loop {
            let next = self.pace.next(self.number, now, &self.stop);
            let (intended, Some(place)) = (next, self.idle.front().copied()) else { return Ok(next != Next::Never) };
            match intended {
                Next::Never => return Ok(false),
                Next::Later(at) => {
                    self.timer.arm(at, now)?;
                    return Ok(true);
                }
                Next::Due(intended) => {
                    let connection = self.connections.get_mut(place).context("a connection that is not there")?;
                    connection.send(self.number, &mut self.requests, intended, now)?;
                    self.idle.pop_front();
                    self.number += 1;
                    now = Instant::now();
                }
            }
        }
    }

    fn wait(&self, events: &mut Vec<epoll::Event>) -> Result<()> {
        events.clear();
        let limit = Timespec { tv_sec: WAIT_SECONDS_MAX, tv_nsec: 0 };
        match epoll::wait(&self.epoll, spare_capacity(events), Some(&limit)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if events.is_empty() {
            self.check_stuck()?;
        }
        Ok(())
    }

    /// Fails where a request is under way for too long.
    fn check_stuck(&self) -> Result<()> {
        let longest = self.connections.iter().filter_map(|connection| Some(connection.flight()?.intended.elapsed())).max();
        match longest {
            Some(longest) if longest > REQUEST_MAX => bail!("no answer within {REQUEST_MAX:?}"),
            _ => Ok(()),
        }
    }

    fn go_on(&mut self, place: usize, buffer: &mut [u8]) -> Result<()> {
        let connection = self.connections.get_mut(place).context("an event of no connection")?;
        let Some(flight) = connection.go_on(buffer)? else { return Ok(()) };
        self.idle.push_back(place);
        self.count(flight, Instant::now())
    }

    /// Counts an answer. In a closed loop one that came after the end belongs to no second of the run, unless it is the first of a
    /// run whose time was up: a stall as long as the run is measured by a longer one.
    fn count(&mut self, flight: Flight, done: Instant) -> Result<()> {
        let Flight { intended, sent, kind } = flight;
        if done.saturating_duration_since(intended) > REQUEST_MAX {
            bail!("more than {REQUEST_MAX:?} behind");
        }
        if self.pace == Pace::Closed && self.stop.is_past(done) {
            let is_first = self.found.iter().all(Histogram::is_empty);
            if !(is_first && self.stop.put_off(done)) {
                return Ok(());
            }
        }
        let [reads, writes, from_sent] = &mut self.found;
        let of_kind = if kind == Kind::Read { reads } else { writes };
        of_kind.saturating_record(micros(done.saturating_duration_since(intended)));
        from_sent.saturating_record(micros(done.saturating_duration_since(sent)));
        Ok(())
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
