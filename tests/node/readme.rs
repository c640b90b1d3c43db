//! The commands that README.md tells people to type are the ones that are run here.

use crate::cluster::Node;

/// A command of the README's console blocks, and what it says that the command prints.
pub struct Example {
    pub command: String,
    pub printed: String,
}

fn examples() -> Vec<Example> {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let blocks = text.split("```console\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let mut examples: Vec<Example> = Vec::new();
    for block in blocks {
        // With a prompt somewhere, what has none is output.
        let prompts = block.lines().any(|line| line.starts_with("$ "));
        for line in block.lines() {
            let command = line.strip_prefix("$ ").or((!prompts).then_some(line));
            match (command, examples.last_mut()) {
                (Some(command), _) => {
                    examples.push(Example { command: command.to_string(), printed: String::new() });
                }
                (None, Some(last)) => last.printed.push_str(&format!("{line}\n")),
                (None, None) => panic!("README.md: output before a command: {line}"),
            }
        }
    }
    examples.retain(|example| {
        example.command.starts_with("kubectl ") || example.command.starts_with("helm ")
    });
    examples
}

/// Runs the one command of the README that contains `part`, as it stands there. Returns what it
/// printed, and what the README says.
pub fn run(node: &Node, part: &str) -> (String, String) {
    let mut found = examples().into_iter().filter(|example| example.command.contains(part));
    let example = found.next().unwrap_or_else(|| panic!("README.md has no command with {part:?}"));
    assert!(found.next().is_none(), "README.md has several commands with {part:?}");
    let printed = node.sh(&example.command);
    node.ran.borrow_mut().insert(example.command);
    (printed, example.printed)
}

pub fn no_command_for_a_cluster_was_left_out(node: &Node) {
    for example in examples() {
        let ran = node.ran.borrow().contains(&example.command);
        assert!(ran, "README.md has a command that no claim runs: {}", example.command);
    }
}
