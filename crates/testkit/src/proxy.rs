//! `Proxy`: a TCP link that a test can break: cut, delayed, held still, closed in one direction, or refusing.
//!
//! What a link does is a state that all its connections follow at once, those that are open and those to come. It knows bytes alone.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener as StdListener},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    runtime::Runtime,
    sync::watch,
};

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// What becomes of the bytes that go one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flow {
    /// They pass.
    #[default]
    Pass,
    /// Each piece passes after this long.
    Delay(Duration),
    /// They wait until this changes: as behind a link that drops every packet, until it is well again.
    Hold,
    /// The next ones are swallowed, and their connection is cut. To the client: the server has done its work, and the answer is lost.
    CutAtNext,
}

/// What the link does now.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    to_server: Flow,
    to_client: Flow,
    refusing: bool,
    /// How often everything was cut.
    cuts: u64,
    /// How often each direction was closed.
    closes_to_server: u64,
    closes_to_client: u64,
}

/// A link to a server on loopback. It ends with this value.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    state: watch::Sender<State>,
    accepted: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    /// Its own, so that it serves tests with and without a runtime. `None` only while it is dropped.
    runtime: Option<Runtime>,
}

/// Bytes that are read at once.
const PIECE: usize = 16 << 10;

impl Proxy {
    /// A link to this port on 127.0.0.1.
    ///
    /// # Errors
    /// The system has no port or no thread to give.
    pub fn start(server: u16) -> Result<Self> {
        let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port for a proxy")?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let (state, states) = watch::channel(State::default());
        let (accepted, open) = (Arc::default(), Arc::default());
        let accepting = accept(listener, (Ipv4Addr::LOCALHOST, server).into(), states, Arc::clone(&accepted), Arc::clone(&open));
        runtime.spawn(accepting);
        Ok(Self { port, state, accepted, open, runtime: Some(runtime) })
    }

    /// The port on 127.0.0.1 that clients connect to.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Says what becomes of the bytes that go this way.
    pub fn set(&self, direction: Direction, flow: Flow) {
        self.state.send_modify(|state| match direction {
            Direction::ToServer => state.to_server = flow,
            Direction::ToClient => state.to_client = flow,
        });
    }

    /// The same for both ways.
    pub fn set_both(&self, flow: Flow) {
        self.set(Direction::ToServer, flow);
        self.set(Direction::ToClient, flow);
    }

    /// Cuts every connection that is open now. New ones are taken.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }

    /// Cuts every connection, and closes new ones at once, until `heal`.
    pub fn refuse(&self) {
        self.state.send_modify(|state| {
            state.cuts += 1;
            state.refusing = true;
        });
    }

    /// Ends this direction of every connection that is open now, as if its sender had nothing more to say. The other goes on.
    pub fn half_close(&self, direction: Direction) {
        self.state.send_modify(|state| match direction {
            Direction::ToServer => state.closes_to_server += 1,
            Direction::ToClient => state.closes_to_client += 1,
        });
    }

    /// Everything passes again. What was cut stays cut.
    pub fn heal(&self) {
        self.state.send_modify(|state| *state = State { to_server: Flow::Pass, to_client: Flow::Pass, refusing: false, ..*state });
    }

    /// Connections that were ever taken.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Connections that are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Within another runtime, waiting for the end would panic.
            runtime.shutdown_background();
        }
    }
}

impl State {
    const fn flow(&self, direction: Direction) -> Flow {
        match direction {
            Direction::ToServer => self.to_server,
            Direction::ToClient => self.to_client,
        }
    }

    const fn closes(&self, direction: Direction) -> u64 {
        match direction {
            Direction::ToServer => self.closes_to_server,
            Direction::ToClient => self.closes_to_client,
        }
    }
}

async fn accept(
    listener: StdListener,
    server: SocketAddr,
    states: watch::Receiver<State>,
    accepted: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
) -> Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (client, _) = listener.accept().await?;
        accepted.fetch_add(1, Ordering::SeqCst);
        if states.borrow().refusing {
            continue;
        }
        let (states, open) = (states.clone(), Arc::clone(&open));
        tokio::spawn(async move {
            open.fetch_add(1, Ordering::SeqCst);
            // However it ends, both sides are closed by it.
            let _ended = connection(client, server, states).await;
            open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

async fn connection(client: TcpStream, server: SocketAddr, mut states: watch::Receiver<State>) -> Result<()> {
    let cuts = states.borrow_and_update().cuts;
    let both = async {
        let server = TcpStream::connect(server).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let forth = pump(from_client, to_server, Direction::ToServer, states.clone());
        let back = pump(from_server, to_client, Direction::ToClient, states.clone());
        tokio::try_join!(forth, back).map(|_| ())
    };
    let mut watched = states.clone();
    tokio::select! {
        ended = both => ended,
        _ = watched.wait_for(|state| state.cuts != cuts) => Ok(()),
    }
}

/// Carries bytes one way until their end, which it carries too. An error cuts the connection.
async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, direction: Direction, mut states: watch::Receiver<State>) -> Result<()> {
    let closes = states.borrow().closes(direction);
    let mut closed = states.clone();
    let carry = async {
        let mut piece = vec![0; PIECE];
        loop {
            let read = from.read(&mut piece).await?;
            passes(direction, &mut states).await?;
            match piece.get(..read) {
                Some(bytes) if !bytes.is_empty() => to.write_all(bytes).await?,
                _ => return anyhow::Ok(()),
            }
        }
    };
    let ended = tokio::select! {
        ended = carry => ended,
        _ = closed.wait_for(|state| state.closes(direction) != closes) => Ok(()),
    };
    to.shutdown().await?;
    ended
}

/// Waits until bytes may pass.
async fn passes(direction: Direction, states: &mut watch::Receiver<State>) -> Result<()> {
    loop {
        let flow = states.borrow_and_update().flow(direction);
        match flow {
            Flow::Pass => return Ok(()),
            Flow::Delay(delay) => {
                tokio::time::sleep(delay).await;
                return Ok(());
            }
            Flow::Hold => states.changed().await?,
            Flow::CutAtNext => anyhow::bail!("cut"),
        }
    }
}
