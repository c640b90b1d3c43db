//! The command line: GOST's forms, and adit's commands.
//!
//! Floor 10.

mod args;

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

pub use args::{
    CheckArgs, Cli, Command, ControllerArgs, ConvertArgs, ExplainArgs, Form, Format, ProcessArgs,
    RunArgs, SelftestArgs, SidecarArgs,
};

/// Reads the process's arguments. Prints help or the error and ends the process where clap would.
pub fn parse() -> Cli {
    read(std::env::args_os().collect()).unwrap_or_else(|error| error.exit())
}

fn read(args: Vec<OsString>) -> Result<Cli, clap::Error> {
    // `gost -L A -- -L B` starts two processes.
    let is_gosts = args.get(1).and_then(|arg| arg.to_str()).is_some_and(|arg| arg.starts_with('-'));
    if is_gosts && args.iter().any(|arg| arg == "--") {
        let message = "-- starts several processes in gost; give this one all -L that go through \
                       the same -F, and start the others by themselves";
        return Err(Cli::command().error(ErrorKind::ArgumentConflict, message));
    }
    Cli::try_parse_from(gost_forms(args.into_iter()))
}

/// GOST's flags are Go's: one dash or two for short and long names, `=true` for switches. clap would
/// read `-api` as `-a -p -i`.
fn gost_forms(args: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let form = |arg: OsString| {
        let Some(text) = arg.to_str() else { return Some(arg) };
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        let is_set = matches!(value, "" | "1" | "t" | "T" | "true" | "TRUE" | "True");
        match name.strip_prefix("--").or_else(|| name.strip_prefix('-')).unwrap_or_default() {
            "DD" => is_set.then(|| "--trace".into()),
            "D" => is_set.then(|| "-D".into()),
            "V" => is_set.then(|| "-V".into()),
            "api" | "metrics" => Some(format!("--{}", text.trim_start_matches('-')).into()),
            "L" | "F" | "C" | "O" | "R" => {
                Some(format!("-{}", text.trim_start_matches('-')).into())
            }
            _ => Some(arg),
        }
    };
    args.filter_map(form).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Cli, clap::Error> {
        read(words.iter().map(OsString::from).collect())
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
    fn flags_are_read_as_gos_flag_package_reads_them() {
        let cli = parse(&["adit", "--L=ws://:1", "--C", "a.yaml", "-D=false", "-DD=true"]).unwrap();
        assert_eq!(
            (cli.run.listen, cli.run.config),
            (vec!["ws://:1".into()], vec!["a.yaml".into()])
        );
        assert!(!cli.run.debug && cli.run.trace);
        let cli =
            parse(&["adit", "-L", ":1", "-metrics", ":9000?path=/metrics", "-R", "10s"]).unwrap();
        assert_eq!(cli.run.admin_addr().unwrap().unwrap().port, 9000);
        assert_eq!(cli.run.reload, Some(std::time::Duration::from_secs(10)));
        for (flag, value, hint) in [
            ("-metrics", "u:hunter2@:9000", "no password"),
            ("-metrics", ":9000?path=/m", "/metrics"),
            ("-api", "u:hunter2@:1", "SIGHUP"),
        ] {
            let error = parse(&["adit", flag, value]).unwrap().run.admin_addr().unwrap_err();
            let error = error.to_string();
            assert!(error.contains(hint) && !error.contains("hunter2"), "{error}");
        }
        let error = parse(&["adit", "-R", "1ms"]).unwrap_err().to_string();
        assert!(error.contains("at least 1s"), "{error}");
        let version = parse(&["adit", "-V"]).unwrap_err();
        assert_eq!(version.kind(), clap::error::ErrorKind::DisplayVersion);
    }

    #[test]
    fn run_is_a_word_for_the_same() {
        let cli = parse(&["adit", "run", "-L", "ws://:1"]).unwrap();
        assert!(matches!(cli.command, Some(Command::Run(args)) if args.listen == ["ws://:1"]));
    }

    #[test]
    fn names_of_secrets_need_namespaces() {
        let named = "--secret-name=edge-tls,users.v1";
        let cli = parse(&["adit", "controller", "--namespace=a", named, "--secret-name=x"]);
        let Some(Command::Controller(args)) = cli.unwrap().command else { panic!() };
        assert_eq!(args.secret_name, ["edge-tls", "users.v1", "x"]);
        let error = parse(&["adit", "controller", named]).unwrap_err().to_string();
        assert!(error.contains("not provided") && error.contains("--namespace"), "{error}");
        // Each goes into a field selector.
        for name in ["", "A", "a,", "a=b", "-a", "a..b", &"a".repeat(254)] {
            let name = format!("--secret-name={name}");
            let error = parse(&["adit", "controller", "--namespace=a", &name]).unwrap_err();
            assert!(error.to_string().contains("not the name of an object"), "{error}");
        }
    }

    #[test]
    fn an_unknown_flag_is_an_error() {
        assert!(parse(&["adit", "-Z"]).is_err());
    }

    #[test]
    fn several_processes_are_refused_by_name() {
        let error = parse(&["adit", "-L", ":1", "--", "-L", ":2"]).unwrap_err().to_string();
        assert!(error.contains("several processes"), "{error}");
        assert!(parse(&["adit", "check", "--", "-odd-name.yaml"]).is_ok());
    }

    #[test]
    fn convert_takes_what_run_and_check_take() {
        let words = ["adit", "convert", "a.yaml", "-C", "b.yaml", "-L=ws://:1", "-F", "ws://h:1"];
        let more = ["-o", "cmdline", "--inline-credentials"];
        let Some(Command::Convert(args)) = parse(&[&words[..], &more].concat()).unwrap().command
        else {
            panic!()
        };
        assert_eq!((args.files, args.config), (vec!["a.yaml".into()], vec!["b.yaml".into()]));
        assert_eq!((args.listen, args.forward), (vec!["ws://:1".into()], vec!["ws://h:1".into()]));
        assert!(args.output == Some(Form::Cmdline) && args.inline_credentials);
        assert!(parse(&["adit", "convert", "-", "--name", "No.Label"]).is_err());
        assert!(parse(&["adit", "convert", "-", "-o", "toml"]).is_err());
    }
}
