//! What is said to a chain's node to reach the next one.
