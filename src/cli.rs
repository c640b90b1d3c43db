//! The command line: GOST's forms, and adit's commands.
//!
//! Floor 10.

mod args;

use std::ffi::OsString;

use clap::Parser;

pub use args::{CheckArgs, Cli, Command, ControllerArgs, ProcessArgs, RunArgs, SidecarArgs};

/// Reads the process's arguments. Prints help or the error and ends the process where clap would.
pub fn parse() -> Cli {
    Cli::parse_from(gost_forms(std::env::args_os()))
}

/// GOST's flags are Go's: long names take one dash. clap would read `-api` as `-a -p -i`.
fn gost_forms(args: impl Iterator<Item = OsString>) -> Vec<OsString> {
    args.map(|arg| match arg.to_str() {
        Some("-DD") => "--trace".into(),
        Some(text) if text.starts_with("-api") || text.starts_with("-metrics") => {
            format!("-{text}").into()
        }
        _ => arg,
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(words: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(gost_forms(words.iter().map(OsString::from)))
    }

    #[test]
    fn the_command_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn gosts_command_lines_are_read() {
        let cli =
            parse(&["adit", "-L", "http://:8080", "-F", "ws://host:80?path=/x", "-D"]).unwrap();
        assert_eq!(cli.run.listen, ["http://:8080"]);
        assert_eq!(cli.run.forward, ["ws://host:80?path=/x"]);
        assert!(cli.run.debug);
        let cli = parse(&["adit", "-L=ws://:1", "-C", "a.yaml", "-C", "b.yaml", "-DD"]).unwrap();
        assert_eq!(cli.run.listen, ["ws://:1"]);
        assert_eq!(cli.run.config, ["a.yaml", "b.yaml"]);
        assert!(cli.run.trace);
    }

    #[test]
    fn run_is_a_word_for_the_same() {
        let cli = parse(&["adit", "run", "-L", "ws://:1"]).unwrap();
        assert!(matches!(cli.command, Some(Command::Run(args)) if args.listen == ["ws://:1"]));
    }

    #[test]
    fn an_unknown_flag_is_an_error() {
        assert!(parse(&["adit", "-Z"]).is_err());
        assert!(parse(&["adit", "-api", ":1"]).is_err());
    }
}
