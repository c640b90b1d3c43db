//! The schema of `status`. Only the controller writes it.

use serde_json::{Value, json};

/// The schema, with the conditions of an object that nobody serves as its default.
pub(super) fn schema() -> Value {
    let pending = |kind: &str| {
        json!({
            "type": kind,
            "status": "Unknown",
            "reason": "Pending",
            "message": "waiting for a controller",
            "lastTransitionTime": "1970-01-01T00:00:00Z",
        })
    };
    json!({
        "type": "object",
        "description": "What the controller says about the tunnel.",
        "default": {"conditions": [pending("Accepted"), pending("Programmed"), pending("Ready")]},
        "properties": {
            "observedGeneration": generation("The generation of the spec that the status is about."),
            "conditions": conditions("Accepted, ResolvedRefs, Programmed and Ready."),
            "summary": {
                "type": "object",
                "description": "What the columns of kubectl get show.",
                "properties": {
                    "listeners": text(32, "Services that serve, of all."),
                    "replicas": text(32, "Replicas that run the tunnel, of all."),
                },
            },
            "className": text(63, "The class that serves it. While there is none, spec.className may be changed."),
            "controller": text(320, "The installation that holds it, NAMESPACE/INSTANCE. No other one writes here."),
            "contender": text(320, "Another installation that asks whether controller is still there."),
            "addresses": {
                "type": "array",
                "description": "Where exposed services are reached.",
                "maxItems": 32,
                "x-kubernetes-list-type": "atomic",
                "items": {
                    "type": "object",
                    "required": ["type", "value", "port"],
                    "properties": {
                        "type": text(32, "Hostname, or IPAddress of a load balancer."),
                        "value": text(253, "The Service's name in the cluster, or its load balancer's address."),
                        "port": {
                            "type": "integer",
                            "description": "The Service's port.",
                            "minimum": 1,
                            "maximum": 65535,
                        },
                    },
                },
            },
            "listeners": {
                "type": "array",
                "description": "One entry a service.",
                "maxItems": 32,
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
                "items": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {
                        "name": text(63, "The service's name."),
                        "address": text(2048, "Host, port and path to reach it by."),
                        "port": {
                            "type": "integer",
                            "description": "The port to reach it by: that of the Service if it is exposed, else one of the controller's pods.",
                            "minimum": 0,
                            "maximum": 65535,
                        },
                        "targetPort": {
                            "type": "integer",
                            "description": "The port that was allocated in the controller's pods for an exposed service.",
                            "minimum": 1,
                            "maximum": 65535,
                        },
                        "replicas": text(32, "Replicas that serve it, of all."),
                        "claimedAt": time(
                            "Since when the service has held the address, hosts and path of claim.",
                        ),
                        "claim": text(128, "A digest of the address, hosts and path that are held."),
                        "conditions": conditions("As on the object."),
                    },
                },
            },
        },
    })
}

fn conditions(description: &str) -> Value {
    json!({
        "type": "array",
        "description": description,
        "maxItems": 8,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["type", "status", "reason", "message", "lastTransitionTime"],
            "properties": {
                "type": text(64, "What the condition is about."),
                "status": {
                    "type": "string",
                    "description": "Whether it holds.",
                    "enum": ["True", "False", "Unknown"],
                },
                "reason": text(64, "Why, in one word."),
                "message": text(32768, "Why, and what to change."),
                "observedGeneration": generation("The generation that the condition is about."),
                "lastTransitionTime": time("When the status last changed."),
            },
        },
    })
}

fn text(most: u32, description: &str) -> Value {
    json!({"type": "string", "maxLength": most, "description": description})
}

fn generation(description: &str) -> Value {
    json!({"type": "integer", "format": "int64", "minimum": 0, "description": description})
}

fn time(description: &str) -> Value {
    json!({"type": "string", "format": "date-time", "description": description})
}
