//! Shutdown: stop accepting, drain, end.
