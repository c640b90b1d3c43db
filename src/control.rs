//! The controller: from WsTunnel objects to the engine, and back to their status.
