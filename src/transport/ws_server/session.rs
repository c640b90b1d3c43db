//! The streams of an upgraded connection that is multiplexed.

use std::io;

use tokio::sync::Semaphore;
use tokio::task::yield_now;
use tokio_util::task::TaskTracker;

use crate::config::model::MuxConfig;
use crate::io::{Accept, BoxIo, Ending, Inbound, Surroundings};
use crate::metrics::ServiceMetrics;
use crate::transport::mux::{Acceptor, vacant};

/// Hands the streams of a session to its service until the session is over. It goes on while the
/// service stops, as long as it has streams; its end is Close 1012 then.
pub(super) async fn serve(
    carrier: Inbound,
    config: MuxConfig,
    accept: &dyn Accept,
    tracker: &TaskTracker,
) {
    let Inbound { io, peer, local } = carrier;
    let Surroundings { stop, cut, hold, metrics, memory, places, mut over } = accept.surroundings();
    let _counted = Counted::new(metrics.clone());
    let (mut acceptor, session) = Acceptor::begin(io, config, Some(metrics), memory.open());
    tracker.spawn(async move {
        // Whoever breaks the protocol may only have another version of it.
        if let Some(error) = session.await
            && error.kind() == io::ErrorKind::InvalidData
        {
            tracing::info!(%peer, %error, "a mux session was refused");
        }
    });
    let streams = acceptor.count();
    loop {
        tokio::select! {
            biased;
            () = cut.cancelled() => break acceptor.end(Ending::Restart),
            () = &mut over => break acceptor.end(Ending::Overload),
            stream = next(&mut acceptor, &places) => match stream {
                Some(io) => {
                    accept.accept(Inbound { io, peer, local });
                    // Of many streams that come at once, each lets what others have to do go first.
                    yield_now().await;
                }
                None => break,
            },
            // A new stream begins the wait anew.
            () = vacant(&stop, &streams) => break acceptor.end(Ending::Restart),
        }
    }
    drop(hold);
}

/// The next stream, once there is a place for it.
async fn next(acceptor: &mut Acceptor, places: &Semaphore) -> Option<BoxIo> {
    let _place = places.acquire().await;
    acceptor.accept().await
}

/// A session in `adit_mux_sessions`.
struct Counted(ServiceMetrics);

impl Counted {
    fn new(metrics: ServiceMetrics) -> Self {
        metrics.mux_sessions.inc();
        Self(metrics)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.mux_sessions.dec();
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::sync::mpsc;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::base::{Origin, ServiceKey};
    use crate::io::AsyncIo;
    use crate::metrics::Metrics;
    use crate::transport::WsIo;
    use crate::transport::mux::Opener;

    struct Service {
        streams: mpsc::UnboundedSender<BoxIo>,
        stop: CancellationToken,
        cut: CancellationToken,
        over: CancellationToken,
        places: Arc<Semaphore>,
        tracker: TaskTracker,
        metrics: ServiceMetrics,
    }

    impl Accept for Service {
        fn accept(&self, inbound: Inbound) {
            let _ = self.streams.send(inbound.io);
        }

        fn session(self: Arc<Self>, _: SocketAddr) -> Option<Arc<dyn Accept>> {
            Some(self)
        }

        fn surroundings(&self) -> Surroundings {
            Surroundings {
                stop: self.stop.clone(),
                cut: self.cut.clone(),
                hold: self.tracker.token(),
                metrics: self.metrics.clone(),
                memory: Default::default(),
                places: self.places.clone(),
                over: Box::pin(self.over.clone().cancelled_owned()),
            }
        }
    }

    /// A client on a session, and the streams that its service gets.
    fn serving() -> (Arc<Service>, Opener, mpsc::UnboundedReceiver<BoxIo>) {
        let (service, ours, came) = serving_bytes();
        let carrier = Box::new(WsIo::client(ours, None));
        (service, Opener::start(carrier, MuxConfig::default()), came)
    }

    /// The same, with the bytes of the session in the test's hands.
    fn serving_bytes() -> (Arc<Service>, DuplexStream, mpsc::UnboundedReceiver<BoxIo>) {
        let (streams, came) = mpsc::unbounded_channel();
        let key = ServiceKey::new(Origin::Files, "in");
        let service = Arc::new(Service {
            streams,
            stop: CancellationToken::new(),
            cut: CancellationToken::new(),
            over: CancellationToken::new(),
            places: Arc::new(Semaphore::new(2)),
            tracker: TaskTracker::new(),
            metrics: Metrics::new().unwrap().service(&key),
        });
        let (ours, theirs) = duplex(1 << 16);
        let peer = SocketAddr::from(([192, 0, 2, 1], 1));
        let carrier = Inbound { io: Box::new(WsIo::server(theirs, None)), peer, local: peer };
        let (accept, tracker) = (service.clone(), service.tracker.clone());
        let session = tracker.clone();
        tracker.spawn(async move {
            serve(carrier, MuxConfig::default(), &*accept, &session).await;
        });
        service.tracker.close();
        (service, ours, came)
    }

    #[tokio::test(start_paused = true)]
    async fn a_stopping_service_goes_on_taking_streams_until_there_are_none_for_a_second() {
        let (service, client, mut came) = serving();
        let first = client.open().await.unwrap();
        let theirs = came.recv().await.unwrap();
        assert_eq!(service.metrics.mux_sessions.get(), 1);
        service.stop.cancel();
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop((first, theirs));
        tokio::time::sleep(Duration::from_millis(700)).await;
        let mut late = AsyncIo::new(client.open().await.unwrap());
        late.write_all(b"x").await.unwrap();
        let mut theirs = AsyncIo::new(came.recv().await.unwrap());
        assert_eq!(theirs.read_u8().await.unwrap(), b'x');
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(!client.is_dead());
        drop((late, theirs));
        tokio::time::timeout(Duration::from_secs(2), service.tracker.wait()).await.unwrap();
        assert!(client.is_dead());
        assert_eq!(service.metrics.mux_sessions.get(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cut_ends_the_session_with_its_streams() {
        let (service, client, mut came) = serving();
        let mut ours = AsyncIo::new(client.open().await.unwrap());
        let _theirs = came.recv().await.unwrap();
        service.cut.cancel();
        tokio::time::timeout(Duration::from_secs(2), service.tracker.wait()).await.unwrap();
        assert!(ours.read_u8().await.is_err());
    }
    #[tokio::test(start_paused = true)]
    async fn the_end_of_a_session_is_close_1012() {
        for cut in [false, true] {
            let (service, mut client, _came) = serving_bytes();
            if cut { &service.cut } else { &service.stop }.cancel();
            let mut bytes = Vec::new();
            client.read_to_end(&mut bytes).await.unwrap();
            let close = [&[0x88, 17], &1012_u16.to_be_bytes()[..], b"service restart"].concat();
            assert_eq!(bytes, close, "cut {cut}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_that_gives_way_ends_with_close_1013() {
        let (service, mut client, _came) = serving_bytes();
        service.over.cancel();
        let mut bytes = Vec::new();
        client.read_to_end(&mut bytes).await.unwrap();
        assert_eq!(bytes, [&[0x88, 17], &1013_u16.to_be_bytes()[..], b"try again later"].concat());
    }

    #[tokio::test(start_paused = true)]
    async fn streams_without_a_place_wait_and_hold_nobody_up() {
        const MANY: usize = 3000;
        let (service, client, mut came) = serving();
        // Both places are taken.
        let taken = service.places.clone().acquire_many_owned(2).await.unwrap();
        let mut streams = Vec::new();
        for _ in 0..MANY {
            let mut io = AsyncIo::new(client.open().await.unwrap());
            io.write_all(b"x").await.unwrap();
            streams.push(io);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(came.try_recv().is_err(), "nobody is taken");
        drop(taken);
        for _ in 0..MANY {
            let theirs = tokio::time::timeout(Duration::from_secs(5), came.recv()).await;
            let mut theirs = AsyncIo::new(theirs.unwrap().unwrap());
            assert_eq!(theirs.read_u8().await.unwrap(), b'x');
        }
    }
}
