//! What is done with an accepted stream.
