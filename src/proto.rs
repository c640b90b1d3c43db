//! Wire formats without sockets: bytes in, values out.
