//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::{Arg, Error, Parser, ValueExt as _};
use rolecall_protocol::ProfileName;
use rolecalld::handover::FdArgs;
use rolecalld::log::Level;

/// What `--help` prints. It leaves out the options that only Rolecall's programs pass: `--to-terminal`, `--handover` and
/// `--program`.
const HELP: &str = "\
Assumes the EKS roles of your profiles, keeps their sessions fresh in memory, and serves tokens to `rolecall`.

It is started by `rolecall` when needed, or by the service manager; there is rarely a reason to run it by hand.

Usage: rolecalld [OPTIONS]

Options:
      --socket <PATH>          Where to listen [default: rolecall/agent.sock in the runtime folder]
      --config <PATH>          The configuration [default: rolecall/config.toml in the configuration folder]
      --log-file <PATH>        Log to this file rather than to standard error
      --log-level <LEVEL>      How much to log; never holds secrets [default: ROLECALL_LOG_LEVEL, else info]
                               [possible values: error, warn, info, debug, trace]
      --detached               Leave the terminal's session
      --once <COMMAND> <NAME>  Print one token, without a socket: `--once token NAME`; or the status of the
                               configuration: `--once config check`
  -h, --help                   Print help
  -V, --version                Print version
";

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// Run the daemon, or print one token or the status of the configuration.
    Run(Box<Args>),
    /// Print this text.
    Print(String),
}

/// The arguments.
#[derive(Debug, Default)]
pub(crate) struct Args {
    /// Where to listen.
    pub(crate) socket: Option<PathBuf>,
    /// The configuration.
    pub(crate) config: Option<PathBuf>,
    /// The file of the log.
    pub(crate) log_file: Option<PathBuf>,
    /// How much to log.
    pub(crate) log_level: Option<Level>,
    /// Whether to leave the terminal's session.
    pub(crate) detached: bool,
    /// The command and the profile of `--once`.
    pub(crate) once: Option<[Word; 2]>,
    /// With `--once`: the client prints the token on a terminal. Only rolecall passes it.
    pub(crate) to_terminal: bool,
    /// The descriptors of a restart. Only rolecalld passes them to itself.
    pub(crate) handover: Option<FdArgs>,
    /// The program's path, which a restart passes on.
    pub(crate) program: Option<PathBuf>,
}

/// A word of `--once`: `token`, `config`, `check`, or a profile's name; all have the same syntax.
pub(crate) type Word = ProfileName;

impl Args {
    /// Parses the arguments, the program's name included. Errors if one is unknown or invalid, or two exclude each other.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Parsed, Error> {
        let (mut parser, mut args) = (Parser::from_iter(arguments), Self::default());
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Long("socket") => args.socket = Some(parser.value()?.into()),
                Arg::Long("config") => args.config = Some(parser.value()?.into()),
                Arg::Long("log-file") => args.log_file = Some(parser.value()?.into()),
                Arg::Long("log-level") => args.log_level = Some(level(&parser.value()?.string()?)?),
                Arg::Long("detached") => args.detached = true,
                Arg::Long("once") => args.once = Some([parser.value()?.parse()?, parser.value()?.parse()?]),
                Arg::Long("to-terminal") => args.to_terminal = true,
                Arg::Long("handover") => args.handover = Some(parser.value()?.parse()?),
                Arg::Long("program") => args.program = Some(parser.value()?.into()),
                Arg::Short('h') | Arg::Long("help") => return Ok(Parsed::Print(HELP.to_owned())),
                Arg::Short('V') | Arg::Long("version") => {
                    return Ok(Parsed::Print(format!("rolecalld {}\n", env!("CARGO_PKG_VERSION"))));
                }
                other => return Err(other.unexpected()),
            }
        }
        args.check()?;
        Ok(Parsed::Run(Box::new(args)))
    }

    fn check(&self) -> Result<(), Error> {
        let is_once = self.once.is_some();
        let problem = match () {
            () if is_once && (self.socket.is_some() || self.detached || self.handover.is_some()) => {
                "--once excludes --socket, --detached and --handover"
            }
            () if self.to_terminal && !is_once => "--to-terminal requires --once",
            () if self.program.is_some() && self.handover.is_none() => "--program requires --handover",
            () => return Ok(()),
        };
        Err(problem.into())
    }
}

fn level(name: &str) -> Result<Level, Error> {
    Level::of_name(name).ok_or_else(|| "the log levels are error, warn, info, debug and trace".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &str) -> Result<Parsed, Error> {
        Args::parse(["rolecalld"].into_iter().chain(arguments.split_whitespace()).map(OsString::from))
    }

    fn args(arguments: &str) -> Args {
        match parse(arguments).unwrap() {
            Parsed::Run(args) => *args,
            Parsed::Print(text) => panic!("{text}"),
        }
    }

    #[test]
    fn options_are_parsed() {
        let daemon = args("--socket /s --config=/c --log-file /l --log-level DEBUG --detached");
        assert_eq!((daemon.socket, daemon.config), (Some("/s".into()), Some("/c".into())));
        assert_eq!((daemon.log_file, daemon.log_level, daemon.detached), (Some("/l".into()), Some(Level::Debug), true));
        let once = args("--once token prod --to-terminal");
        assert_eq!(once.once.unwrap().map(|word| word.to_string()), ["token", "prod"]);
        assert!(once.to_terminal);
        let restarted = args("--handover 1,3,4,5 --program /p");
        assert!(restarted.handover.is_some() && restarted.program.is_some());
        assert!(args("").once.is_none());
    }

    #[test]
    fn version_ends_the_options_of_a_restart() {
        let parsed = parse("--socket /s --handover 1,3,4,5,1,1 --program /p --version").unwrap();
        assert!(
            matches!(parsed, Parsed::Print(text) if text == concat!("rolecalld ", env!("CARGO_PKG_VERSION"), "\n"))
        );
        assert!(matches!(parse("--help").unwrap(), Parsed::Print(text) if text == HELP));
    }

    #[test]
    fn man_page_has_the_options_of_the_help() {
        let page = include_str!("../../install/man/rolecalld.1").replace("\\-", "-");
        let (_, page) = page.split_once("\n.SH OPTIONS\n").unwrap();
        let (page, _) = page.split_once("\n.SH ").unwrap();
        let long_options = |lines: &mut dyn Iterator<Item = &str>| {
            let words = lines.flat_map(|line| line.split([' ', '"', ','])).filter(|word| word.starts_with("--"));
            words.map(str::to_owned).collect::<std::collections::BTreeSet<_>>()
        };
        let help = long_options(&mut HELP.lines().filter(|line| line.trim_start().starts_with('-')));
        let headings = page.split(".TP\n").filter_map(|entry| entry.lines().next());
        assert_eq!(long_options(&mut { headings }), help);
        assert_eq!(help.len(), 8);
    }

    #[test]
    fn invalid_options_are_errors() {
        for arguments in [
            "--unknown --version",
            "word",
            "--socket",
            "--log-level loud",
            "--once token",
            "--once token pr/od",
            "--once token prod --socket /s",
            "--once token prod --detached",
            "--once token prod --handover 1,3,4,5",
            "--to-terminal",
            "--handover x",
            "--handover 1,-1,4,5",
            "--program /p",
            "--detached=yes",
        ] {
            assert!(parse(arguments).is_err(), "{arguments}");
        }
    }
}
