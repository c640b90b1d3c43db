//! Fields of a spec. The first row fits whose path's end is the field's.

use super::{ClassBound, Limit, Row, What};

/// The longest name that is referred to: a DNS label.
const NAME: u32 = 63;
/// A DNS name, a colon and a port.
const ADDR: u32 = 260;
/// The name of a Secret, a key in one.
const OBJECT_NAME: u32 = 253;
/// A DNS name.
const DNS_NAME: u32 = 253;
/// A file's path.
const PATH: u32 = 1024;

const fn row(end: &'static str, limit: Limit) -> Row {
    Row {
        what: What::Field(end),
        limit,
        enforced: "config::envelope::misfits",
        shown: "Accepted=False, Invalid",
        test: "every_field_is_tried_below_at_and_above_its_bound",
    }
}

const fn list(end: &'static str, most: u32) -> Row {
    row(end, Limit::Items(most))
}

const fn text(end: &'static str, most: u32) -> Row {
    row(end, Limit::Length(most))
}

pub(super) const ROWS: &[Row] = &[
    list("services", 32),
    list("services[].hostnames", 16),
    list("services[].handler.authers", 8),
    list("services[].admissions", 8),
    list("services[].bypasses", 8),
    list("forwarder.nodes", 16),
    list("chains", 16),
    list("hops[].bypasses", 8),
    list("nodes[].bypasses", 8),
    list("hops", 8),
    list("hops[].nodes", 16),
    list("authers", 16),
    list("auths", 64),
    list("admissions", 16),
    list("bypasses", 16),
    list("matchers", 256),
    list("hosts", 16),
    list("mappings", 256),
    list("aliases", 16),
    list("resolvers", 16),
    list("nameservers", 8),
    list("climiters", 16),
    list("rlimiters", 16),
    list("limiters", 16),
    list("limits", 64),
    list("cipherSuites", 32),
    list("alpn", 8),
    list("serverNames", 32),
    Row {
        enforced: "config::metadata::Reader::of",
        test: "nested_keys_of_a_map_are_counted_one_by_one",
        ..row("metadata", Limit::Entries(super::METADATA_KEYS as u32))
    },
    row("services[].expose.annotations", Limit::Entries(16)),
    text("services[].expose.annotations{}", 1024),
    row("services[].expose.labels", Limit::Entries(16)),
    text("services[].expose.labels{}", 63),
    text("className", NAME),
    Row {
        enforced: "control::translate::Translator::desire",
        shown: "documented",
        test: "a_class_narrowed_under_traffic_drains_and_closes_and_a_broken_file_changes_nothing",
        ..row("drain.timeout", Limit::Shortened(ClassBound::Drain))
    },
    text("hostnames[]", DNS_NAME),
    text("secretRef.name", OBJECT_NAME),
    text("serviceRef.name", NAME),
    text("serviceRef.port", NAME),
    text("clientCARef.name", OBJECT_NAME),
    text("caRef.name", OBJECT_NAME),
    text("name", NAME),
    text("addr", ADDR),
    text("type", 32),
    text("chain", NAME),
    text("hop", NAME),
    text("auther", NAME),
    text("authers[]", NAME),
    text("admission", NAME),
    text("admissions[]", NAME),
    text("bypass", NAME),
    text("bypasses[]", NAME),
    text("resolver", NAME),
    text("hosts", NAME),
    text("limiter", NAME),
    text("climiter", NAME),
    text("rlimiter", NAME),
    text("username", 255),
    text("password", 1024),
    text("strategy", 32),
    text("externalTrafficPolicy", 16),
    row("failTimeout", Limit::AnyDuration("how long an object's own nodes are left alone")),
    row("reload", Limit::AnyDuration("files are read again when they change, whatever it says")),
    row("nameservers[].ttl", Limit::AtLeast(super::LEAST_INTERVAL)),
    row("nameservers[].timeout", Limit::AtMostOf(ClassBound::Timeout)),
    text("file", PATH),
    text("file.path", PATH),
    text("certFile", PATH),
    text("keyFile", PATH),
    text("caFile", PATH),
    text("key", OBJECT_NAME),
    text("serverName", DNS_NAME),
    text("serverNames[]", DNS_NAME),
    text("minVersion", 32),
    text("maxVersion", 32),
    text("cipherSuites[]", 64),
    text("alpn[]", 255),
    text("matchers[]", ADDR),
    text("network", 16),
    text("ip", 64),
    text("hostname", DNS_NAME),
    text("aliases[]", DNS_NAME),
    text("prefer", 16),
    text("only", 16),
    text("limits[]", 128),
    row("handler.retries", Limit::Number(0, 10)),
    row("expose.port", Limit::Number(1, 65_535)),
    row("maxFails", Limit::Free("a count of an object's own nodes")),
];
