//! Configuration from a mounted folder.
