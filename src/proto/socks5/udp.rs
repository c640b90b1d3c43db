//! Datagrams: in packets (RFC 1928 section 7), and on a stream as GOST has them.

use super::Socks5Error;
use crate::proto::address::{Address, MAX_ADDRESS};
use crate::proto::{Wire, fixed};

/// What stands on a stream where packets have their fragment number.
const ON_STREAM: u8 = 0xff;

/// Reserved bytes or a length, and a fragment number.
const FIXED: usize = 3;

/// Before the payload of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketHeader {
    /// The fragment's number; 0 is a whole datagram. GOST does not look at it.
    pub fragment: u8,
    /// To the server: the destination. From it: who sent the datagram.
    pub address: Address,
}

impl PacketHeader {
    /// The longest, in bytes.
    pub const MAX: usize = FIXED + MAX_ADDRESS;

    /// How long the header of a packet is, whatever its name says; `None` if this is no packet.
    pub fn span(packet: &[u8]) -> Option<usize> {
        let address = Address::span(packet.get(FIXED..)?).ok()??;
        Some(FIXED + address).filter(|length| *length <= packet.len())
    }

    /// The bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![0, 0, self.fragment];
        self.address.encode(&mut out);
        out
    }
}

impl Wire for PacketHeader {
    type Error = Socks5Error;
    const LINES: bool = false;

    /// Of a packet, `None` means that it is cut off.
    fn decode(input: &[u8]) -> Result<Option<(Self, usize)>, Socks5Error> {
        let Some(&[_, _, fragment]) = fixed(input) else { return Ok(None) };
        let decoded = Address::decode(input.get(FIXED..).unwrap_or_default())?;
        Ok(decoded.map(|(address, length)| (Self { fragment, address }, FIXED + length)))
    }
}

/// Before the payload of a datagram on a stream: its length stands where packets have reserved
/// bytes. UDP over SOCKS5, over relay's BIND and over HTTP are all of this form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// The payload's length in bytes. With 0 GOST takes whatever comes next for the payload: empty
    /// datagrams cannot be sent.
    pub length: u16,
    /// To the server: the destination. From it: who sent the datagram.
    pub address: Address,
}

impl FrameHeader {
    /// The longest, in bytes.
    pub const MAX: usize = FIXED + MAX_ADDRESS;

    /// How long the header at the beginning of `input` is, and the payload behind it, whatever the
    /// name says: a name that is none is no reason to lose the frames after it. `None` needs more
    /// bytes.
    ///
    /// # Errors
    /// An unknown type of address: nobody knows where the next frame begins.
    pub fn span(input: &[u8]) -> Result<Option<(usize, usize)>, Socks5Error> {
        let Some(&[high, low, _]) = fixed(input) else { return Ok(None) };
        let address = Address::span(input.get(FIXED..).unwrap_or_default())?;
        let payload = usize::from(u16::from_be_bytes([high, low]));
        Ok(address.map(|address| (FIXED + address, payload)))
    }

    /// Makes the packet a frame with a payload of `length`, in place: only the bytes before the
    /// address differ.
    pub fn of_packet(packet: &mut [u8], length: u16) {
        let [high, low] = length.to_be_bytes();
        if let Some(fixed) = packet.first_chunk_mut::<FIXED>() {
            *fixed = [high, low, ON_STREAM];
        }
    }

    /// Makes the frame a packet, in place.
    pub fn to_packet(frame: &mut [u8]) {
        if let Some(fixed) = frame.first_chunk_mut::<FIXED>() {
            *fixed = [0; FIXED];
        }
    }

    /// The bytes.
    pub fn encode(&self) -> Vec<u8> {
        let [high, low] = self.length.to_be_bytes();
        let mut out = vec![high, low, ON_STREAM];
        self.address.encode(&mut out);
        out
    }
}

impl Wire for FrameHeader {
    type Error = Socks5Error;
    const LINES: bool = false;

    /// The payload comes behind it. The fragment number is not looked at, as in GOST.
    fn decode(input: &[u8]) -> Result<Option<(Self, usize)>, Socks5Error> {
        let Some(&[high, low, _]) = fixed(input) else { return Ok(None) };
        let decoded = Address::decode(input.get(FIXED..).unwrap_or_default())?;
        let length = u16::from_be_bytes([high, low]);
        Ok(decoded.map(|(address, taken)| (Self { length, address }, FIXED + taken)))
    }
}
