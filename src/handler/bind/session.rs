//! Everybody who comes to a client's port, as streams of a session on the client's stream, in which we
//! are the smux client.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::Poll;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Port, target};
use crate::base::CloseReason;
use crate::config::defaults;
use crate::config::model::MuxConfig;
use crate::gate::Entry;
use crate::handler::access::Active;
use crate::handler::{Access, Exchanged, Handler, HandlerError, count, nothing};
use crate::io::{BoxIo, Ending, Exchange, PipeOptions, pipe};
use crate::net::accept;
use crate::transport::mux::{Opener, vacant};

/// Who may be there at a time. Others wait in the kernel's queue: as many as a session of ours takes
/// from a peer.
const PEERS: usize = 16 * 1024;

/// Those of them of whom the client has not been told, because it reads nothing. As a listener's
/// `backlog` in GOST.
const BACKLOG: usize = defaults::BACKLOG as usize;

/// How a client hears of its peers.
pub(super) struct Peers {
    /// Its session.
    pub(super) mux: MuxConfig,
    /// What a stream begins with: who came.
    pub(super) came: fn(SocketAddr) -> Vec<u8>,
}

impl Handler {
    /// Tells the client of its port, and brings it everybody who comes there until it ends the
    /// session.
    pub(super) async fn brings_all(
        &self,
        client: Exchange,
        granted: &[u8],
        port: Port,
        peers: Peers,
        access: &Access,
        stop: &CancellationToken,
    ) -> Result<Exchanged, HandlerError> {
        let client = self.listening(client, granted, &port, access, stop).await?;
        let (opener, session) = Opener::begin(client.into_io(), peers.mux, self.memory.open());
        let mut session = pin!(session);
        let mut tunnels = JoinSet::new();
        let (reason, over) = loop {
            let vacant = vacant(&self.stopping, opener.count());
            let there = tunnels.len();
            tokio::select! {
                biased;
                () = stop.cancelled() => break (CloseReason::Drained, false),
                Some(_) = tunnels.join_next() => {}
                came = next(&port.listener, session.as_mut(), &opener, there) => {
                    let Some((stream, peer)) = came else { break (CloseReason::Finished, true) };
                    // A session has ids for two thousand million streams.
                    let Ok(io) = opener.open().await else { break (CloseReason::Finished, false) };
                    let mut io = Exchange::new(io);
                    // In the message that opens the stream; a new stream has room.
                    if io.write(&(peers.came)(peer)).await.is_ok() {
                        let access = access.of_peer(peer);
                        tunnels.spawn(self.carry(access, stream, io.into_io(), stop.clone()));
                    }
                }
                () = vacant => break (CloseReason::Drained, false),
            }
        };
        drop(port);
        let rest = async {
            while tunnels.join_next().await.is_some() {}
            opener.end(Ending::Restart);
        };
        if over {
            rest.await;
        } else {
            tokio::join!(rest, session);
        }
        Ok(Exchanged::Done(nothing(reason)))
    }

    /// The tunnel of one who came: its own access line, its own counts.
    fn carry(
        &self,
        access: Access,
        peer: TcpStream,
        client: BoxIo,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + Send + use<> {
        let (key, metrics, memory) = (self.key.clone(), self.metrics.clone(), self.memory.clone());
        let options = PipeOptions { idle: access.idle, linger: self.linger };
        async move {
            let _active = Active::new(&metrics);
            let (mut peer, mut client): (BoxIo, BoxIo) = (Box::new(peer), client);
            let moved = |direction, n| count(&metrics, direction, n);
            let closed = pipe(&mut peer, &mut client, options, &stop, &memory, moved).await;
            metrics.ended(closed.reason.as_str());
            access.log(&key, &Ok(closed));
        }
    }
}

impl Access {
    /// Of a tunnel from one who came to a client's port to the client.
    fn of_peer(&self, peer: SocketAddr) -> Self {
        let mut access = Self::new(peer, self.local, None, Entry::free());
        access.idle = self.idle;
        access.user.clone_from(&self.user);
        access.target = Some(target(self.peer));
        access
    }
}

/// The next who comes, as long as there is room; `None` when the session is over. Who carries the
/// session is woken by it, and looks whether there is room again.
async fn next(
    listener: &TcpListener,
    mut session: Pin<&mut (impl Future + Send)>,
    opener: &Opener,
    there: usize,
) -> Option<(TcpStream, SocketAddr)> {
    let mut next = pin!(accept::next(listener));
    poll_fn(|cx| {
        if session.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        if there >= PEERS || opener.unannounced() >= BACKLOG {
            return Poll::Pending;
        }
        next.as_mut().poll(cx).map(Some)
    })
    .await
}
