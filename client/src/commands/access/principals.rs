//! The principals of a command line and of a file.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use rolecall_protocol::{GivenPrincipal, PrincipalKind};

use crate::cli;
use crate::error::{CliError, Exit};
use crate::files::error::FileError;
use crate::files::input_text::{is_stdin, read_input};
use crate::output;

/// The size limit of a file of principals, in bytes.
const MAX_FILE_BYTES: u64 = 1024 * 1024;
/// How many principals one command takes. A cluster has at most some thousand access entries.
const MAX_PRINCIPALS: usize = 10_000;

/// The principals that a command names, each once.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Principals {
    pub(super) given: Vec<GivenPrincipal>,
    /// Where a name of a file stands: `users.txt:12`.
    places: HashMap<String, String>,
}

/// Why a text names no principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unclear {
    /// A name alone, which may be that of a role or of a user.
    Kind,
    /// It says another kind than the option.
    OtherKind,
    /// It has no name.
    Empty,
}

impl Unclear {
    const fn text(self) -> &'static str {
        match self {
            Self::Kind => "may be a role or a user",
            Self::OtherKind => "is of another kind than the option",
            Self::Empty => "has no name",
        }
    }
}

impl Principals {
    /// Reads the options and the file. Names that are given twice count once.
    pub(super) fn read(wanted: &cli::Principals) -> Result<Self, CliError> {
        let mut found = Self::default();
        let mut seen = HashSet::new();
        let options = [(&wanted.role, PrincipalKind::Role), (&wanted.user, PrincipalKind::User)];
        for (names, kind) in options {
            for name in names.iter().flatten() {
                let given = parse_option(name, kind)?;
                if seen.insert(given.clone()) {
                    found.given.push(given);
                }
            }
        }
        if let Some(path) = &wanted.from {
            let kind = options.into_iter().find(|(names, _)| names.as_ref().is_some_and(Vec::is_empty));
            found.add_file(path, kind.map(|(_, kind)| kind), &mut seen)?;
        }
        found.check_count(wanted)?;
        Ok(found)
    }

    /// Where a target stands in the file, if it came from one. The daemon names a target as it was given, or by its ARN.
    pub(super) fn place(&self, target: &str) -> Option<&str> {
        let by_name = target.split_once(":role/").or_else(|| target.split_once(":user/")).map(|(_, name)| name);
        self.places.get(target).or_else(|| self.places.get(by_name?)).map(String::as_str)
    }

    fn add_file(
        &mut self,
        path: &Path,
        kind: Option<PrincipalKind>,
        seen: &mut HashSet<GivenPrincipal>,
    ) -> Result<(), CliError> {
        let text = read_input(path, MAX_FILE_BYTES).map_err(|error| file_error(&error))?;
        let name = if is_stdin(path) { "standard input".to_owned() } else { path.display().to_string() };
        let (mut repeated, mut unclear) = (0, Vec::new());
        for (number, line) in (1..).zip(text.lines()) {
            let text = line.split('#').next().unwrap_or_default().trim();
            if text.is_empty() {
                continue;
            }
            match parse(text, kind) {
                Ok(given) => {
                    self.places.entry(given.name.clone()).or_insert_with(|| format!("{name}:{number}"));
                    if seen.insert(given.clone()) {
                        self.given.push(given);
                    } else {
                        repeated += 1;
                    }
                }
                Err(problem) => unclear.push((number, text, problem)),
            }
        }
        if let Some((number, text, problem)) = unclear.first() {
            return Err(unclear_line(&format!("{name}:{number}"), text, *problem, unclear.len() - 1));
        }
        if repeated > 0 {
            output::print_note(&format!("{name}: {} ignored", super::counted(repeated, "repeated line")));
        }
        Ok(())
    }

    fn check_count(&self, wanted: &cli::Principals) -> Result<(), CliError> {
        if self.given.is_empty() {
            let from = wanted.from.as_deref().map(|path| format!(" in {}", path.display())).unwrap_or_default();
            return Err(CliError::new(
                Exit::Usage,
                format!("there is no principal{from}"),
                "Give one with --role or --user, or one a line in the file of --from",
            ));
        }
        if self.given.len() > MAX_PRINCIPALS {
            return Err(CliError::new(
                Exit::Usage,
                format!("{} principals are too many for one command", self.given.len()),
                format!("Give at most {MAX_PRINCIPALS} at once"),
            ));
        }
        Ok(())
    }
}

/// The principal of `--role` or `--user`.
pub(super) fn parse_option(text: &str, kind: PrincipalKind) -> Result<GivenPrincipal, CliError> {
    parse(text.trim(), Some(kind)).map_err(|problem| {
        let option = if kind == PrincipalKind::Role { "--role" } else { "--user" };
        CliError::new(
            Exit::Usage,
            format!("{option}: \"{text}\" {}", problem.text()),
            "Give a name or an ARN, such as arn:aws:iam::111122223333:role/developers",
        )
    })
}

/// An ARN, `role/NAME`, `user/NAME`, or a name of this kind. Only the daemon knows whether it is valid.
fn parse(text: &str, kind: Option<PrincipalKind>) -> Result<GivenPrincipal, Unclear> {
    if text.contains(':') {
        return Ok(GivenPrincipal { kind: kind.unwrap_or(PrincipalKind::Unknown), name: text.to_owned() });
    }
    let prefixes = [("role/", PrincipalKind::Role), ("user/", PrincipalKind::User)];
    let stated = prefixes.into_iter().find_map(|(prefix, kind)| Some((kind, text.strip_prefix(prefix)?)));
    let (kind, name) = match (stated, kind) {
        (Some((stated, name)), None) => (stated, name),
        (Some((stated, name)), Some(kind)) if stated == kind => (kind, name),
        (Some(_), Some(_)) => return Err(Unclear::OtherKind),
        (None, Some(kind)) => (kind, text),
        (None, None) => return Err(Unclear::Kind),
    };
    if name.is_empty() { Err(Unclear::Empty) } else { Ok(GivenPrincipal { kind, name: name.to_owned() }) }
}

/// The error for the first line that names no principal, with the number of the others.
fn unclear_line(place: &str, text: &str, problem: Unclear, others: usize) -> CliError {
    let more = if others == 0 { String::new() } else { format!(", and {}", super::counted(others, "more line")) };
    let hint = match problem {
        Unclear::Kind => "Write role/NAME or user/NAME, or give --role or --user without a value before --from",
        Unclear::OtherKind => "Omit --role or --user, so that each line states its kind",
        Unclear::Empty => "Write role/NAME or user/NAME",
    };
    CliError::new(Exit::Usage, format!("{place}: \"{text}\" {}{more}", problem.text()), hint)
}

pub(super) fn file_error(error: &FileError) -> CliError {
    CliError::failed(error.to_string(), error.advice()).untouched(error.untouched())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(role: Option<&[&str]>, user: Option<&[&str]>, from: Option<&Path>) -> cli::Principals {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        cli::Principals { role: role.map(owned), user: user.map(owned), from: from.map(Path::to_owned) }
    }

    fn names(found: &Principals) -> Vec<(PrincipalKind, &str)> {
        found.given.iter().map(|given| (given.kind, given.name.as_str())).collect()
    }

    fn file(text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.txt");
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    #[test]
    fn read_options_and_file_each_once() {
        use PrincipalKind::{Role, Unknown, User};
        let text = "\u{feff}# the team\r\nrole/team/dev\r\n\r\nuser/alice # since May\nuser/alice\n  \n\
                    arn:aws:iam::111122223333:user/bob\nuser/carol";
        let (_folder, path) = file(text);
        let found = Principals::read(&wanted(Some(&["admin", "role/admin"]), None, Some(&path))).unwrap();
        let bob = "arn:aws:iam::111122223333:user/bob";
        assert_eq!(
            names(&found),
            [(Role, "admin"), (Role, "team/dev"), (User, "alice"), (Unknown, bob), (User, "carol")]
        );
        let place = |line: usize| Some(format!("{}:{line}", path.display()));
        assert_eq!(found.place("alice").map(str::to_owned), place(4));
        assert_eq!(found.place("arn:aws:iam::111122223333:role/team/dev").map(str::to_owned), place(2));
        assert_eq!(found.place(bob).map(str::to_owned), place(7));
        assert_eq!(found.place("arn:aws:iam::111122223333:role/admin"), None);
    }

    #[test]
    fn read_bare_names_take_the_kind_of_the_empty_option() {
        let (_folder, path) = file("alice\nbob smith\n");
        let found = Principals::read(&wanted(None, Some(&[]), Some(&path))).unwrap();
        assert_eq!(names(&found), [(PrincipalKind::User, "alice"), (PrincipalKind::User, "bob smith")]);
        let found = Principals::read(&wanted(Some(&[]), Some(&["x"]), Some(&path))).unwrap();
        assert_eq!(names(&found)[1], (PrincipalKind::Role, "alice"));
    }

    #[test]
    fn read_unclear_lines_name_file_and_line() {
        let result_text = |text: &str, user: Option<&[&str]>| {
            let (_folder, path) = file(text);
            let error = Principals::read(&wanted(None, user, Some(&path))).unwrap_err();
            assert_eq!(error.code(), 2);
            error.to_string().replace(&path.display().to_string(), "FILE")
        };
        assert_eq!(
            result_text("role/dev\nalice\nbob\n", None),
            "FILE:2: \"alice\" may be a role or a user, and 1 more line. \
             Write role/NAME or user/NAME, or give --role or --user without a value before --from"
        );
        assert!(result_text("role/dev\n", Some(&[])).starts_with("FILE:1: \"role/dev\" is of another kind"));
        assert!(result_text("user/\n", None).starts_with("FILE:1: \"user/\" has no name"));
        assert!(result_text("# none\n\n", None).starts_with("there is no principal in FILE"));
    }

    #[test]
    fn read_too_many_or_no_principals_is_refused() {
        let text = (0..=MAX_PRINCIPALS).map(|n| format!("user/u{n}\n")).collect::<Vec<_>>().concat();
        let (_folder, path) = file(&text);
        let error = Principals::read(&wanted(None, None, Some(&path))).unwrap_err();
        assert!(error.to_string().contains("10001 principals are too many"), "{error}");
        let error = Principals::read(&wanted(Some(&[]), None, None)).unwrap_err();
        assert!(error.to_string().starts_with("there is no principal. Give one"), "{error}");
        let error = Principals::read(&wanted(Some(&["user/x"]), None, None)).unwrap_err();
        assert!(error.to_string().starts_with("--role: \"user/x\" is of another kind"), "{error}");
    }
}
