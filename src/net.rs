//! Sockets: listening, accepting, dialling, and the guard on every dial.
