//! Plain forwarding: `GET http://host/path`, without CONNECT.
//!
//! hyper on both sides, in the stream's one task: the connections to targets are polled beside the
//! client's.

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::header::HOST;
use hyper::service::service_fn;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::counted::{Count, Counted, Left, Watched};
use super::{fields, host_of, target_of_parts};
use crate::base::{CloseReason, Closed, Network, Target};
use crate::config::model::HttpHandlerConfig;
use crate::handler::{Access, Handler, HandlerError, auth, nothing};
use crate::io::{AsyncIo, BoxIo, PipeOptions, pipe};
use crate::proto::http1::MAX_FIELDS;

mod body;
mod failure;

use body::{Response, Sent, passed_on};

/// Between two requests of a kept connection, and for the head of the next one.
const NEXT_REQUEST: Duration = Duration::from_secs(60);

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What the stream's task has to poll beside the client's connection.
enum Started {
    /// A connection to a target: as long as the client's.
    Connection(Task),
    /// What became of an upgrade: to its end.
    Tunnel(Task),
}

/// One client's requests.
struct Session<'a> {
    handler: &'a Handler,
    config: &'a HttpHandlerConfig,
    access: &'a Access,
    stop: &'a CancellationToken,
    count: Arc<Count>,
    started: mpsc::UnboundedSender<Started>,
    /// The connection of the request before, if it may be used again.
    kept: Mutex<Option<(Target, SendRequest<Sent>)>>,
    /// Why there was no response from a target, if there was none at all.
    failed: Mutex<Option<HandlerError>>,
}

impl Handler {
    /// Serves a client's plain requests to the end of its connection. `upgrades`: the first one asks
    /// for an upgrade.
    pub(super) async fn forward(
        &self,
        config: &HttpHandlerConfig,
        (client, upgrades): (BoxIo, bool),
        access: &Access,
        stop: &CancellationToken,
    ) -> Result<Closed, HandlerError> {
        let (sender, mut started) = mpsc::unbounded_channel();
        let session = Session {
            handler: self,
            config,
            access,
            stop,
            count: Arc::new(Count::new()),
            started: sender,
            kept: Mutex::default(),
            failed: Mutex::default(),
        };
        let left = Left::default();
        let client: BoxIo = Box::new(Watched::new(client, session.count.clone(), left.clone()));
        let reason = {
            let mut silent = pin!(session.count.silent(access.idle));
            let serving = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(NEXT_REQUEST)
                .title_case_headers(true)
                .auto_date_header(false)
                .max_buf_size(super::MAX_HEAD)
                .max_headers(MAX_FIELDS)
                // Told by hyper, for clients of HTTP/1.0 too; a 101 must not say it.
                .keep_alive(config.keepalive || upgrades)
                // Who has only finished sending still wants the response.
                .half_close(true)
                .serve_connection(
                    TokioIo::new(AsyncIo::new(client)),
                    service_fn(|request| session.serve(request)),
                )
                .with_upgrades();
            let mut serving = pin!(serving);
            let mut served = None;
            let mut connections = FuturesUnordered::new();
            let mut tunnels = FuturesUnordered::new();
            loop {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => break CloseReason::Drained,
                    () = silent.as_mut() => break CloseReason::Idle,
                    Some(task) = started.recv() => match task {
                        Started::Connection(task) => connections.push(task),
                        Started::Tunnel(task) => tunnels.push(task),
                    },
                    result = serving.as_mut(), if served.is_none() => {
                        served = Some(match result {
                            Ok(()) => CloseReason::Finished,
                            Err(_) => CloseReason::ClientGone,
                        });
                    }
                    Some(()) = tunnels.next() => {}
                    Some(()) = connections.next() => {}
                }
                if let Some(reason) = served
                    && tunnels.is_empty()
                    && started.is_empty()
                {
                    break reason;
                }
            }
        };
        if matches!(reason, CloseReason::Finished) {
            left.linger(stop).await;
        }
        if let Some(e) = session.failed.lock().take() {
            return Err(e);
        }
        let up = session.count.up.load(Ordering::Relaxed);
        let down = session.count.down.load(Ordering::Relaxed);
        Ok(Closed { up, down, ..nothing(reason) })
    }
}

impl Session<'_> {
    async fn serve(&self, request: Request<Incoming>) -> Result<Response, Infallible> {
        let mut response = match self.answer(request).await {
            Ok(response) => response,
            Err((status, error)) => {
                let response = body::refused(status, failure::said(&error), self.config);
                if self.count.down.load(Ordering::Relaxed) == 0 {
                    *self.failed.lock() = Some(error);
                }
                response
            }
        };
        if !self.config.keepalive && response.status() != StatusCode::SWITCHING_PROTOCOLS {
            // Where hyper was not told so.
            body::close_after(&mut response);
        }
        Ok(response)
    }

    async fn answer(
        &self,
        mut request: Request<Incoming>,
    ) -> Result<Response, (StatusCode, HandlerError)> {
        let text = |name| request.headers().get(name).and_then(|v| v.to_str().ok());
        // The head was checked once; later requests of the connection prove themselves too.
        if let Some(users) = &self.config.users
            && auth::basic(users, text("proxy-authorization")).is_none()
        {
            self.handler.metrics.auth_failures.inc();
            let mut error = HandlerError::Unauthorized;
            if text("proxy-authorization").is_some() {
                error = HandlerError::WrongPassword;
                // hyper hears the client leave, and drops this.
                let (client, leaves) = (self.access.peer.ip(), std::future::pending());
                let _ = self.handler.brake(client, leaves, self.stop).await;
            }
            return Err((StatusCode::PROXY_AUTHENTICATION_REQUIRED, error));
        }
        if request.method() == Method::CONNECT {
            // Only as a connection's first request, as in GOST.
            let refused = super::bad_target(&request.uri().to_string());
            return Err((StatusCode::BAD_REQUEST, refused));
        }
        let hosts = request.headers().get_all(HOST).iter().count();
        host_of(hosts, text("host")).map_err(|e| (StatusCode::BAD_REQUEST, e))?;
        let target =
            target_of_parts(request.method().as_str(), &request.uri().to_string(), text("host"))
                .map_err(|e| (StatusCode::BAD_REQUEST, e))?;
        self.handler.check_target(Network::Tcp, &target).map_err(|e| (StatusCode::FORBIDDEN, e))?;
        let upgrade = fields::upgrade(request.headers());
        let client = hyper::upgrade::on(&mut request);
        let failed = |e| (failure::status(&e), e);
        let (request, sent) = passed_on(request, &upgrade, self.config.keepalive)
            .map_err(|e| (StatusCode::BAD_REQUEST, e))?;
        let mut sender = self.sender(&target).await.map_err(failed)?;
        let mut response = tokio::select! {
            response = sender.send_request(request) => response
                .map_err(|e| failed(HandlerError::Target(e)))?,
            () = self.too_late(sent) => return Err(failed(HandlerError::TargetSlow)),
        };
        if self.config.keepalive {
            *self.kept.lock() = Some((target, sender));
        }
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            self.tunnel(client, hyper::upgrade::on(&mut response));
        }
        Ok(body::passed_back(response))
    }

    /// `readTimeout` after the whole request was sent.
    async fn too_late(&self, sent: CancellationToken) {
        sent.cancelled().await;
        match self.config.read_timeout {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    }

    /// A connection to the target: the kept one, or a new one.
    async fn sender(&self, target: &Target) -> Result<SendRequest<Sent>, HandlerError> {
        let kept = self.kept.lock().take();
        if let Some((of, mut sender)) = kept
            && of == *target
            && sender.ready().await.is_ok()
        {
            return Ok(sender);
        }
        // hyper hears the client leave, and drops this.
        let leaves = std::future::pending();
        self.count.dialling(true);
        let io = self.handler.connect(target, self.access, leaves, self.stop).await;
        self.count.dialling(false);
        let io = io?;
        let (count, metrics) = (self.count.clone(), self.handler.metrics.clone());
        // A `BoxIo`: after an upgrade the stream is found again by its type.
        let io: BoxIo = Box::new(Counted { io, count, metrics, writing: 0, deaf: false });
        let io = AsyncIo::new(io);
        let (sender, connection) = hyper::client::conn::http1::Builder::new()
            .title_case_headers(true)
            .max_headers(MAX_FIELDS)
            // A proxy removes the space, and unfolds (RFC 9112 sections 5.1 and 5.2).
            .allow_spaces_after_header_name_in_responses(true)
            .allow_obsolete_multiline_headers_in_responses(true)
            .handshake(TokioIo::new(io))
            .await
            .map_err(HandlerError::Target)?;
        let connection = async {
            if let Err(e) = connection.with_upgrades().await {
                tracing::debug!(error = %e, "a target's connection broke");
            }
        };
        // The receiver lives as long as the session.
        let _ = self.started.send(Started::Connection(Box::pin(connection)));
        Ok(sender)
    }

    /// After a 101 from the target both ways are raw.
    fn tunnel(&self, client: hyper::upgrade::OnUpgrade, target: hyper::upgrade::OnUpgrade) {
        let idle = self.config.idle_timeout.into_iter().chain(self.access.idle).min();
        let options = PipeOptions { idle, linger: self.handler.linger };
        let (stop, memory) = (self.stop.clone(), self.handler.memory.clone());
        let tunnel = async move {
            let (Ok(client), Ok(target)) = tokio::join!(client, target) else { return };
            let (Some(mut client), Some(mut target)) = (raw(client), raw(target)) else { return };
            // The target's stream counts.
            pipe(&mut client, &mut target, options, &stop, &memory, |_, _| ()).await;
        };
        let _ = self.started.send(Started::Tunnel(Box::pin(tunnel)));
    }
}

fn raw(upgraded: hyper::upgrade::Upgraded) -> Option<BoxIo> {
    let parts = upgraded.downcast::<TokioIo<AsyncIo>>().ok()?;
    Some(parts.io.into_inner().into_io(&parts.read_buf))
}
