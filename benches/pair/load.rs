//! What is sent, and who receives it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Up,
    Down,
}

/// The far end: a first byte of `u` swallows as many bytes as the next eight say and answers one,
/// `d` sends as many, anything else echoes to the end.
pub fn target() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.set_nodelay(true);
            thread::Builder::new().stack_size(64 << 10).spawn(move || serve(&mut stream)).unwrap();
        }
    });
    addr
}

fn serve(stream: &mut TcpStream) {
    let mut kind = [0];
    if stream.read_exact(&mut kind).is_err() {
        return;
    }
    let mut count = [0; 8];
    match &kind {
        b"u" => {
            stream.read_exact(&mut count).unwrap();
            drain(stream, u64::from_be_bytes(count));
            let _ = stream.write_all(b".");
        }
        b"d" => {
            stream.read_exact(&mut count).unwrap();
            pour(stream, u64::from_be_bytes(count));
        }
        _ => {
            let mut buffer = [0; 64];
            let _ = stream.write_all(&kind);
            while let Ok(n @ 1..) = stream.read(&mut buffer) {
                if stream.write_all(&buffer[..n]).is_err() {
                    break;
                }
            }
        }
    }
}

/// Moves `bytes` through one connection and returns when the last one has arrived.
pub fn bulk(entry: SocketAddr, way: Way, bytes: u64) {
    let mut stream = TcpStream::connect(entry).unwrap();
    let kind = if way == Way::Up { b"u" } else { b"d" };
    stream.write_all(&[&kind[..], &bytes.to_be_bytes()].concat()).unwrap();
    match way {
        Way::Up => {
            pour(&mut stream, bytes);
            stream.read_exact(&mut [0]).unwrap();
        }
        Way::Down => drain(&mut stream, bytes),
    }
}

fn pour(stream: &mut TcpStream, mut bytes: u64) {
    let block = vec![7; 256 << 10];
    while bytes > 0 {
        let piece = block.len().min(usize::try_from(bytes).unwrap());
        if stream.write_all(&block[..piece]).is_err() {
            return;
        }
        bytes -= piece as u64;
    }
}

fn drain(stream: &mut TcpStream, mut bytes: u64) {
    let mut block = vec![0; 256 << 10];
    while bytes > 0 {
        match stream.read(&mut block) {
            Ok(0) | Err(_) => panic!("the stream ended with {bytes} bytes to come"),
            Ok(n) => bytes -= n as u64,
        }
    }
}
