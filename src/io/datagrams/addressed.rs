//! Payload to one address, on a stream of packets.

use std::io;
use std::task::{Context, Poll, ready};

use crate::io::{BoxIo, Chunk, Ending, Io};
use crate::proto::address::Address;
use crate::proto::socks5::PacketHeader;

/// Datagrams to one address. Who sent an answer is not told: the node may know the address by
/// another name.
pub struct Addressed {
    packets: BoxIo,
    header: Vec<u8>,
    /// The chunk that the caller writes has its header already.
    headed: bool,
}

impl Addressed {
    /// Sends everything to `address`.
    pub fn new(packets: BoxIo, address: Address) -> Self {
        let header = PacketHeader { fragment: 0, address }.encode();
        Self { packets, header, headed: false }
    }
}

impl Io for Addressed {
    fn poll_read(&mut self, cx: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>> {
        loop {
            ready!(self.packets.poll_read(cx, chunk))?;
            if chunk.is_empty() {
                return Poll::Ready(Ok(()));
            }
            match PacketHeader::span(chunk.data()) {
                Some(header) => chunk.consume(header),
                None => chunk.release(),
            }
            if !chunk.is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.packets.poll_room(cx)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, chunk: &mut Chunk) -> Poll<io::Result<()>> {
        if !self.headed {
            if chunk.is_empty() {
                return Poll::Ready(Ok(()));
            }
            chunk.prefix(&self.header);
            self.headed = true;
        }
        ready!(self.packets.poll_write(cx, chunk))?;
        self.headed = false;
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.packets.poll_flush(cx)
    }

    fn poll_close_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.packets.poll_close_write(cx)
    }

    fn poll_end(&mut self, cx: &mut Context<'_>, ending: Ending) -> Poll<()> {
        self.packets.poll_end(cx, ending)
    }

    fn upkeep(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.packets.upkeep(cx)
    }

    fn peer_closed(&self) -> bool {
        self.packets.peer_closed()
    }
}
