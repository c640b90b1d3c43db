//! Clients that share nothing with the product: tungstenite, and smux by hand.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::{WebSocketStream, client_async};

const SYN: u8 = 0;
const FIN: u8 = 1;
const PSH: u8 = 2;
const NOP: u8 = 3;

/// A WebSocket whose streams come out at an echo server.
pub struct Tunnel {
    ws: WebSocketStream<TcpStream>,
    /// The client's own address.
    pub from: SocketAddr,
    /// The ids of its streams, if it is multiplexed.
    streams: Option<Vec<u32>>,
    /// Bytes of smux frames that are not whole yet.
    seen: Vec<u8>,
    sent: u8,
}

/// How a WebSocket ended.
#[derive(Debug)]
pub enum End {
    /// With a Close.
    Closed(u16),
    /// In some other way.
    Broke(String),
}

fn broke(why: impl std::fmt::Display) -> End {
    End::Broke(why.to_string())
}

impl Tunnel {
    /// Opens a ws tunnel, or a session of mws with this many streams.
    pub async fn open(
        server: SocketAddr,
        path: &str,
        streams: Option<u32>,
        target: SocketAddr,
    ) -> Result<Self, End> {
        let stream = TcpStream::connect(server).await.map_err(broke)?;
        stream.set_nodelay(true).map_err(broke)?;
        let from = stream.local_addr().map_err(broke)?;
        let (ws, _) = client_async(format!("ws://{server}{path}"), stream).await.map_err(broke)?;
        let streams = streams.map(|count| (0..count).map(|n| 2 * n + 3).collect());
        let mut tunnel = Self { ws, from, streams, seen: vec![], sent: 0 };
        let connect = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
        for id in tunnel.ids() {
            if tunnel.is_mux() {
                tunnel.frame(SYN, id, b"").await?;
            }
            tunnel.say(id, connect.as_bytes()).await?;
            let answer = tunnel.hear(id).await?;
            if !answer.starts_with(b"HTTP/1.1 200 ") {
                return Err(broke(String::from_utf8_lossy(&answer)));
            }
        }
        Ok(tunnel)
    }

    /// How many streams it is.
    pub fn len(&self) -> usize {
        self.ids().len()
    }

    /// Whether it is a session of mws.
    pub fn is_mux(&self) -> bool {
        self.streams.is_some()
    }

    /// Sends a kilobyte on each stream and gets it back.
    pub async fn echo(&mut self) -> Result<(), End> {
        for id in self.ids() {
            self.sent = self.sent.wrapping_add(1);
            let bytes = vec![self.sent; 1000];
            self.say(id, &bytes).await?;
            let mut back = Vec::new();
            while back.len() < bytes.len() {
                back.extend(self.hear(id).await?);
            }
            if back != bytes {
                return Err(broke("other bytes came back"));
            }
        }
        Ok(())
    }

    /// Ends it as one whose work is done. A session of mws is left without streams.
    pub async fn finish(&mut self) -> Result<(), End> {
        if self.streams.is_none() {
            let normal = CloseFrame { code: CloseCode::Normal, reason: "".into() };
            self.ws.close(Some(normal)).await.map_err(broke)?;
            return match self.message().await {
                Err(End::Closed(1000)) => Ok(()),
                Err(other) => Err(other),
                Ok(_) => Err(broke("there was something left to say")),
            };
        }
        for id in self.ids() {
            self.frame(FIN, id, b"").await?;
            match self.next_frame().await? {
                (FIN, from, _) if from == id => {}
                other => return Err(broke(format!("no FIN, but {other:?}"))),
            }
        }
        Ok(())
    }

    /// Waits for the server to end it; the code of its Close.
    pub async fn told(&mut self) -> Result<u16, String> {
        loop {
            match self.message().await {
                // The streams' own ends.
                Ok(_) if self.is_mux() => {}
                Ok(bytes) => return Err(format!("{} bytes came", bytes.len())),
                Err(End::Closed(code)) => return Ok(code),
                Err(End::Broke(why)) => return Err(why),
            }
        }
    }

    fn ids(&self) -> Vec<u32> {
        self.streams.clone().unwrap_or_else(|| vec![0])
    }

    async fn say(&mut self, id: u32, bytes: &[u8]) -> Result<(), End> {
        match self.streams {
            Some(_) => self.frame(PSH, id, bytes).await,
            None => self.ws.send(Message::binary(bytes.to_vec())).await.map_err(broke),
        }
    }

    async fn hear(&mut self, id: u32) -> Result<Vec<u8>, End> {
        if self.streams.is_none() {
            return self.message().await;
        }
        match self.next_frame().await? {
            (PSH, from, bytes) if from == id => Ok(bytes),
            other => Err(broke(format!("no data, but {other:?}"))),
        }
    }

    async fn frame(&mut self, command: u8, id: u32, bytes: &[u8]) -> Result<(), End> {
        let mut frame = vec![1, command];
        frame.extend((bytes.len() as u16).to_le_bytes());
        frame.extend(id.to_le_bytes());
        frame.extend(bytes);
        self.ws.send(Message::binary(frame)).await.map_err(broke)
    }

    async fn next_frame(&mut self) -> Result<(u8, u32, Vec<u8>), End> {
        loop {
            if let Some(&[_, command, l0, l1, i0, i1, i2, i3]) = self.seen.first_chunk() {
                let end = 8 + usize::from(u16::from_le_bytes([l0, l1]));
                if self.seen.len() >= end {
                    let bytes = self.seen.drain(..end).skip(8).collect();
                    if command == NOP {
                        continue;
                    }
                    return Ok((command, u32::from_le_bytes([i0, i1, i2, i3]), bytes));
                }
            }
            let more = self.message().await?;
            self.seen.extend(more);
        }
    }

    async fn message(&mut self) -> Result<Vec<u8>, End> {
        loop {
            match self.ws.next().await {
                Some(Ok(Message::Binary(bytes))) => return Ok(bytes.to_vec()),
                Some(Ok(Message::Close(frame))) => {
                    return Err(End::Closed(frame.map_or(1005, |frame| frame.code.into())));
                }
                Some(Ok(_)) => {}
                Some(Err(why)) => return Err(broke(why)),
                None => return Err(broke("it ended without a Close")),
            }
        }
    }
}
