//! Byte streams: the `Io` trait, pooled buffers, and the pipe between two of them.
