//! Names and suffixes, by their labels from the last one on.

use std::collections::HashMap;

use super::{PortRange, includes};

/// A tree of labels. A name is looked up with one step for each of its labels.
#[derive(Debug, Default)]
pub(super) struct Names {
    below: HashMap<Box<str>, Names>,
    /// The ports of the name that ends here.
    itself: Vec<Option<PortRange>>,
    /// The ports of it and everything below.
    suffix: Vec<Option<PortRange>>,
}

impl Names {
    /// Adds a name, or a suffix without its dot.
    pub(super) fn add(&mut self, name: &str, suffix: bool, ports: Option<PortRange>) {
        let node =
            name.rsplit('.').fold(self, |node, label| node.below.entry(label.into()).or_default());
        let all = if suffix { &mut node.suffix } else { &mut node.itself };
        if !all.contains(&ports) {
            all.push(ports);
        }
    }

    pub(super) fn fit(&self, text: &str, port: u16) -> bool {
        let any = |all: &[Option<PortRange>]| all.iter().any(|ports| includes(*ports, port));
        let mut node = self;
        for label in text.rsplit('.') {
            match node.below.get(label) {
                Some(below) => node = below,
                None => return false,
            }
            if any(&node.suffix) {
                return true;
            }
        }
        any(&node.itself)
    }
}
