//! A Service as kube-proxy carries it: a new connection goes to the next ready endpoint and stays there.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// How late it hears of an endpoint.
const LATE: Duration = Duration::from_millis(100);

/// The Service. Its tasks live as long as the runtime.
pub struct Service {
    /// Where clients come.
    pub addr: SocketAddr,
    endpoints: Vec<Endpoint>,
    /// Where the client with this address went.
    taken: Mutex<HashMap<SocketAddr, usize>>,
}

struct Endpoint {
    front: SocketAddr,
    admin: SocketAddr,
    ready: AtomicBool,
}

impl Service {
    /// Of replicas with these fronts and admin ports.
    pub async fn start(replicas: impl Iterator<Item = (SocketAddr, SocketAddr)>) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = |(front, admin)| Endpoint { front, admin, ready: AtomicBool::new(false) };
        let service = Arc::new(Self {
            addr: listener.local_addr().unwrap(),
            endpoints: replicas.map(endpoint).collect(),
            taken: Mutex::default(),
        });
        for number in 0..service.endpoints.len() {
            tokio::spawn(service.clone().follow(number));
        }
        tokio::spawn(service.clone().accept(listener));
        service
    }

    /// Whether connections go to this replica.
    pub fn sends_to(&self, replica: usize) -> bool {
        self.endpoints[replica].ready.load(Ordering::Relaxed)
    }

    /// Which replica the client with this address is at.
    pub fn replica_of(&self, client: SocketAddr) -> usize {
        self.taken.lock().unwrap()[&client]
    }

    async fn follow(self: Arc<Self>, number: usize) {
        let endpoint = &self.endpoints[number];
        let mut looks = tokio::time::interval(LATE);
        loop {
            looks.tick().await;
            endpoint.ready.store(is_ready(endpoint.admin).await, Ordering::Relaxed);
        }
    }

    async fn accept(self: Arc<Self>, listener: TcpListener) {
        let mut turn = 0;
        loop {
            let (mut client, from) = listener.accept().await.unwrap();
            let turns = (0..self.endpoints.len()).map(|n| (turn + n) % self.endpoints.len());
            // Nobody is ready: the client is dropped, and will say so.
            let Some(number) = turns.into_iter().find(|number| self.sends_to(*number)) else {
                continue;
            };
            turn = number + 1;
            self.taken.lock().unwrap().insert(from, number);
            let front = self.endpoints[number].front;
            tokio::spawn(async move {
                client.set_nodelay(true).unwrap();
                if let Ok(mut replica) = TcpStream::connect(front).await {
                    replica.set_nodelay(true).unwrap();
                    let _ = copy_bidirectional(&mut client, &mut replica).await;
                }
            });
        }
    }
}

async fn is_ready(admin: SocketAddr) -> bool {
    let asked = async {
        let mut stream = TcpStream::connect(admin).await?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = tokio::time::timeout(Duration::from_secs(1), asked).await;
    matches!(answer, Ok(Ok(answer)) if answer.starts_with(b"HTTP/1.1 200 "))
}
