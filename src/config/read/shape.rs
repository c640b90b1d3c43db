//! What a document may look like, taken from the schema of the raw types.

use std::sync::LazyLock;

use schemars::JsonSchema;
use serde_json::{Map, Value};

use crate::config::raw;

/// The shape of a value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shape {
    /// A struct.
    Struct(Struct),
    /// A free-form map.
    Open,
    /// A list of one shape.
    List(Box<Shape>),
    Text,
    /// Text or a whole number, as it is written.
    IntOrText,
    Int,
    Bool,
}

/// A struct: the name of its Rust type and its keys.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Struct {
    pub(crate) name: String,
    pub(crate) fields: Vec<(String, Shape)>,
}

/// The root of a GOST file.
pub(crate) static CONFIG: LazyLock<Shape> = LazyLock::new(shape_of::<raw::Config>);
/// The spec of a `WsTunnel`.
pub(super) static TUNNEL: LazyLock<Shape> = LazyLock::new(shape_of::<raw::TunnelSpec>);

/// `log` and `metrics` of a GOST file.
pub(super) static LOG: LazyLock<Shape> = LazyLock::new(shape_of::<raw::Log>);
pub(super) static METRICS: LazyLock<Shape> = LazyLock::new(shape_of::<raw::Metrics>);

fn shape_of<T: JsonSchema>() -> Shape {
    let root = schemars::schema_for!(T).to_value();
    let definitions = root.get("$defs").and_then(Value::as_object).cloned().unwrap_or_default();
    build(&root, &T::schema_name(), &definitions)
}

fn build(schema: &Value, name: &str, definitions: &Map<String, Value>) -> Shape {
    let text = |key: &str| schema.get(key).and_then(Value::as_str);
    if let Some(name) = text("$ref").and_then(|r| r.strip_prefix("#/$defs/")) {
        return definitions.get(name).map_or(Shape::Open, |s| build(s, name, definitions));
    }
    // `Option<T>` of a struct is `anyOf: [T, null]`.
    if let Some(first) = schema.get("anyOf").and_then(|a| a.get(0)) {
        return build(first, name, definitions);
    }
    if schema.get("x-kubernetes-int-or-string").is_some() {
        return Shape::IntOrText;
    }
    if let Some(fields) = schema.get("properties").and_then(Value::as_object) {
        let fields =
            fields.iter().map(|(key, s)| (key.clone(), build(s, name, definitions))).collect();
        return Shape::Struct(Struct { name: name.into(), fields });
    }
    // `Option<T>` of a scalar or list is `type: [T, null]`.
    let kind = text("type").or_else(|| schema.get("type")?.get(0)?.as_str());
    match (kind, schema.get("items")) {
        (Some("array"), Some(items)) => Shape::List(Box::new(build(items, name, definitions))),
        (Some("string"), _) => Shape::Text,
        (Some("integer"), _) => Shape::Int,
        (Some("boolean"), _) => Shape::Bool,
        _ => Shape::Open,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field<'a>(shape: &'a Shape, path: &str) -> &'a Shape {
        path.split('.').fold(shape, |shape, key| {
            let shape = if let Shape::List(items) = shape { items } else { shape };
            let Shape::Struct(s) = shape else { panic!("{key} of {shape:?}") };
            &s.fields.iter().find(|(name, _)| name == key).unwrap().1
        })
    }

    #[test]
    fn the_shape_follows_the_raw_types() {
        assert_eq!(field(&CONFIG, "services.name"), &Shape::Text);
        assert_eq!(field(&CONFIG, "services.metadata"), &Shape::Open);
        assert_eq!(field(&CONFIG, "services.handler.retries"), &Shape::Int);
        assert_eq!(field(&CONFIG, "services.hostnames"), &Shape::List(Box::new(Shape::Text)));
        assert_eq!(field(&CONFIG, "chains.hops.nodes.dialer.metadata"), &Shape::Open);
        let Shape::Struct(auth) = field(&TUNNEL, "services.handler.auth") else { panic!() };
        assert_eq!(auth.name, "Auth");
        assert_eq!(field(&TUNNEL, "suspend"), &Shape::Bool);
        assert_eq!(field(&TUNNEL, "drain.timeout"), &Shape::Text);
    }
}
