//! `rolecall env NAME`: a profile's session as commands of a shell.

use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::path::Path;

use rolecall_protocol::{ProfileCredentials, ProfileName, Secret};

use crate::aws_session::{REGION_VARIABLES, SESSION_VARIABLES, get, other_variables, variables};
use crate::cli::{Env, ShellSyntax};
use crate::context::Context;
use crate::environment::Environment;
use crate::error::{CliError, Exit};
use crate::output;

/// The room for the text: a buffer that grows leaves copies behind that are not wiped.
const MAX_TEXT_BYTES: usize = 32 * 1024;

/// Prints the commands.
pub(crate) fn run(wanted: &Env, context: &Context) -> Result<(), CliError> {
    let shell = wanted.shell.unwrap_or_else(|| login_shell(&context.environment));
    let Some(name) = &wanted.name else {
        return output::stdout_bytes(unset_text(shell).as_bytes());
    };
    if !wanted.force && io::stdout().is_terminal() {
        return Err(terminal_error(name));
    }
    let credentials = get(&context.daemon()?, name, &context.environment)?;
    output::stdout_bytes(text(shell, name, &credentials)?.expose().as_bytes())
}

fn terminal_error(name: &ProfileName) -> CliError {
    CliError::failed(
        format!("{name}: the session is secret, and standard output is a terminal"),
        format!("Run: eval \"$(rolecall env {name})\"; or add --force"),
    )
}

/// The shell of the user.
fn login_shell(environment: &Environment) -> ShellSyntax {
    let shell = environment.get("SHELL").and_then(|shell| Path::new(shell).file_name());
    if shell.is_some_and(|name| name == "fish") { ShellSyntax::Fish } else { ShellSyntax::Sh }
}

/// Returns the commands that set the variables of a session and remove those of another one. The comment stands in the last
/// line: without quotes, `eval $(…)` joins the lines, and a comment would hide those after it.
fn text(shell: ShellSyntax, name: &ProfileName, credentials: &ProfileCredentials) -> Result<Secret<String>, CliError> {
    let mut text = Secret::new(String::with_capacity(MAX_TEXT_BYTES));
    let variables = variables(credentials);
    if shell == ShellSyntax::Json {
        let object: serde_json::Map<String, serde_json::Value> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), value.as_ref().into())).collect();
        let json = serde_json::to_string_pretty(&object)
            .map_err(|error| CliError::new(Exit::Bug, format!("cannot write the session: {error}"), "Report it"))?;
        text.expose_mut().push_str(&json);
        text.expose_mut().push('\n');
        return Ok(text);
    }
    let stale = SESSION_VARIABLES.into_iter().filter(|name| variables.iter().all(|(set, _)| set != name));
    for name in other_variables().chain(stale) {
        text.expose_mut().push_str(&unset(shell, name));
    }
    for (name, value) in &variables {
        // Writing to a String cannot fail.
        let _ = match shell {
            ShellSyntax::Fish => {
                writeln!(text.expose_mut(), "set -gx {name} '{}';", escaped(value, &[('\\', "\\\\"), ('\'', "\\'")]))
            }
            ShellSyntax::Powershell => {
                writeln!(text.expose_mut(), "$Env:{name} = '{}';", escaped(value, &[('\'', "''")]))
            }
            ShellSyntax::Sh | ShellSyntax::Json => {
                writeln!(text.expose_mut(), "export {name}='{}';", escaped(value, &[('\'', "'\\''")]))
            }
        };
    }
    let until = credentials.expires.map_or_else(|| "an unknown time".to_owned(), |expires| expires.to_string());
    let _ = writeln!(text.expose_mut(), "# The session of {name} is valid until {until}.");
    Ok(text)
}

/// Returns a value for a string in single quotes.
fn escaped(value: &str, escapes: &[(char, &str)]) -> String {
    let escape = |c: char| {
        let found = escapes.iter().find(|(special, _)| *special == c);
        found.map_or_else(|| c.to_string(), |(_, escape)| (*escape).to_owned())
    };
    value.chars().map(escape).collect()
}

/// Returns the commands that remove every variable that [`text`] sets or removes.
fn unset_text(shell: ShellSyntax) -> String {
    let names = SESSION_VARIABLES.iter().chain(&REGION_VARIABLES);
    if shell == ShellSyntax::Json {
        let object: serde_json::Map<String, serde_json::Value> =
            names.map(|name| ((*name).to_owned(), serde_json::Value::Null)).collect();
        return format!("{:#}\n", serde_json::Value::Object(object));
    }
    names.map(|name| unset(shell, name)).collect()
}

fn unset(shell: ShellSyntax, name: &str) -> String {
    match shell {
        ShellSyntax::Fish => format!("set -e {name};\n"),
        ShellSyntax::Powershell => format!("Remove-Item -ErrorAction Ignore Env:{name};\n"),
        ShellSyntax::Sh | ShellSyntax::Json => format!("unset {name};\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws_session::tests::session;

    fn printed(shell: ShellSyntax) -> String {
        text(shell, &"prod".parse().unwrap(), &session()).unwrap().expose().clone()
    }

    #[test]
    fn text_quotes_values_for_each_shell() {
        let sh = printed(ShellSyntax::Sh);
        assert!(sh.contains("\nexport AWS_SECRET_ACCESS_KEY='it'\\''s $ecret';\n"), "{sh}");
        assert!(sh.starts_with("unset AWS_PROFILE;\n"), "{sh}");
        assert!(sh.ends_with("\n# The session of prod is valid until 2030-01-02T03:04:05Z.\n"), "{sh}");
        let fish = printed(ShellSyntax::Fish);
        assert!(fish.contains("\nset -gx AWS_SECRET_ACCESS_KEY 'it\\'s $ecret';\n"), "{fish}");
        let powershell = printed(ShellSyntax::Powershell);
        assert!(powershell.contains("\n$Env:AWS_SECRET_ACCESS_KEY = 'it''s $ecret';\n"), "{powershell}");
        let json: serde_json::Value = serde_json::from_str(&printed(ShellSyntax::Json)).unwrap();
        assert_eq!(json["AWS_SECRET_ACCESS_KEY"], "it's $ecret");
        assert_eq!(json["AWS_CREDENTIAL_EXPIRATION"], "2030-01-02T03:04:05Z");
    }

    /// sh reads what is printed, also without quotes around the substitution.
    #[test]
    fn text_is_read_back_by_sh() {
        let said = |script: &str| {
            let mut shell = std::process::Command::new("/bin/sh");
            let shell =
                shell.args(["-c", script, "sh"]).env("AWS_PROFILE", "other").env("TEXT", printed(ShellSyntax::Sh));
            String::from_utf8(shell.output().unwrap().stdout).unwrap()
        };
        let show = "printf %s \"$AWS_SECRET_ACCESS_KEY $AWS_REGION ${AWS_PROFILE-none}\"";
        assert_eq!(said(&format!("eval \"$TEXT\"; {show}")), "it's $ecret eu-west-1 none");
        assert_eq!(said(&format!("eval $TEXT\n{show}")), "it's $ecret eu-west-1 none");
    }

    #[test]
    fn unset_text_removes_what_was_set() {
        let text = unset_text(ShellSyntax::Sh);
        for (name, _) in variables(&session()) {
            assert!(text.contains(&format!("unset {name};\n")), "{text}");
        }
        assert!(!text.contains("AWS_PROFILE"), "{text}");
    }

    #[test]
    fn login_shell_is_fish_or_sh() {
        let of = |shell: &str| login_shell(&[("SHELL".into(), shell.into())].into_iter().collect());
        assert_eq!((of("/usr/bin/fish"), of("/bin/zsh")), (ShellSyntax::Fish, ShellSyntax::Sh));
    }
}
