//! From a target to a stream: directly, or hop by hop.
