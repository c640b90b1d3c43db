//! Puts the rooms together for each way to run.
