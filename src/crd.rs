//! The `WsTunnel` custom resource: types, bounds and CEL rules.
