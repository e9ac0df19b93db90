//! Programs that run another program: shells, `env`, and tools that give an AWS profile its credentials.

use super::Reading;
use super::options::{self, Style};
use super::tables::{self, Effect, OptionSpec};

/// Characters with a meaning for the shell. A text with one of them may do more than run one program.
const SHELL_CHARACTERS: &[char] =
    &['$', '`', ';', '&', '|', '<', '>', '(', ')', '{', '}', '*', '?', '[', '~', '#', '!', '\n'];

/// Returns the words of the program that the wrapper `name` runs; `None` if the name is not that of a wrapper. An error says why
/// Rolecall cannot replace it.
pub(super) fn read(name: &str, words: &[String], reading: &mut Reading) -> Result<Option<Vec<String>>, String> {
    match name {
        "sh" | "bash" | "dash" | "zsh" | "ksh" | "ash" => shell(name, words, reading),
        "env" => env(words, reading).map(Some),
        "exec" | "command" => Ok(Some(words.to_vec())),
        "aws-vault" => vault("aws-vault", words, tables::AWS_VAULT, reading),
        "assume" => granted("assume", words, reading),
        "assumego" => granted("assumego", words, reading),
        "saml2aws" => vault("saml2aws", words, tables::SAML2AWS, reading),
        "kcc-cache" => {
            reading.programs.push(name.to_owned());
            match words.split_first() {
                Some((first, rest)) if first == "--" => Ok(Some(rest.to_vec())),
                Some((first, _)) if first.starts_with('-') => Err(format!("Rolecall does not know its option {first}")),
                _ => Ok(Some(words.to_vec())),
            }
        }
        name if name.contains('=') => Ok(assignment(name, words, reading)),
        _ => Ok(None),
    }
}

/// Reads `sh -c TEXT`, where the text is one simple command. Other options of the shell, as in `bash -lc`, do not matter.
fn shell(name: &str, words: &[String], reading: &mut Reading) -> Result<Option<Vec<String>>, String> {
    let is_option = |word: &&String| word.starts_with('-');
    let has_command = |word: &String| !word.starts_with("--") && word.ends_with('c');
    let count = words.iter().take_while(is_option).count();
    let Some(text) = words.get(count).filter(|_| words.iter().take(count).any(has_command)) else { return Ok(None) };
    if !mentions_eks(text) {
        return Ok(None);
    }
    let inner = split(text);
    if inner.is_err() {
        reading.programs.push(format!("{name} -c …"));
    }
    inner.map(Some)
}

/// Whether a text of a shell may get a token of EKS.
fn mentions_eks(text: &str) -> bool {
    text.contains("get-token") || text.contains("authenticator")
}

/// Splits a text as a shell does.
fn split(text: &str) -> Result<Vec<String>, String> {
    let text = text.trim();
    if text.contains(SHELL_CHARACTERS) {
        return Err("its shell does more than run one program".to_owned());
    }
    shlex::split(text).ok_or_else(|| "its shell command has an open quote".to_owned())
}

/// Reads `env NAME=VALUE… PROGRAM`.
fn env(words: &[String], reading: &mut Reading) -> Result<Vec<String>, String> {
    let mut rest = words;
    while let Some((word, after)) = rest.split_first() {
        match word.split_once('=') {
            _ if word == "--" => {}
            _ if word.starts_with('-') => return Err(format!("Rolecall does not know the option {word} of env")),
            Some((name, value)) => reading.variable(name, value),
            None => break,
        }
        rest = after;
    }
    Ok(rest.to_vec())
}

/// Reads `NAME=VALUE… PROGRAM` of a shell. The words of an `exec` entry itself never have this form: its command is a program.
fn assignment(first: &str, words: &[String], reading: &mut Reading) -> Option<Vec<String>> {
    let (name, value) = first.split_once('=').unwrap_or_default();
    let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_name(name).then(|| {
        reading.variable(name, value);
        words.to_vec()
    })
}

/// Reads `aws-vault exec PROFILE -- PROGRAM` and `saml2aws exec -a PROFILE -- PROGRAM`.
fn vault(
    name: &'static str,
    words: &[String],
    specs: &[OptionSpec],
    reading: &mut Reading,
) -> Result<Option<Vec<String>>, String> {
    let is_saml = name == "saml2aws";
    let parsed = options::parse_until(words, specs, Style::Pflag, if is_saml { 1 } else { 2 });
    if !words.iter().any(|word| word == "exec") {
        return Ok(None);
    }
    reading.programs.push(format!("{name} exec"));
    let parsed = parsed?;
    let last =
        |wanted| parsed.options.iter().rev().find(|(effect, _)| *effect == wanted).map(|(_, value)| value.clone());
    let profile = if is_saml {
        // saml2aws writes the credentials into the AWS profile `saml` if nothing else is configured.
        last(Effect::Profile).or_else(|| last(Effect::IdpAccount)).unwrap_or_else(|| "saml".to_owned())
    } else {
        parsed.positionals.get(1).cloned().ok_or("it names no AWS profile")?
    };
    finish(name, profile, parsed, reading)
}

/// Reads `assume PROFILE --exec -- PROGRAM`, and `assume PROFILE --exec "PROGRAM"`.
fn granted(name: &'static str, words: &[String], reading: &mut Reading) -> Result<Option<Vec<String>>, String> {
    reading.programs.push(format!("{name} --exec"));
    let parsed = options::parse(words, tables::GRANTED, Style::Pflag)?;
    if !parsed.options.iter().any(|(effect, _)| *effect == Effect::Command) {
        return Ok(None);
    }
    let (profile, inner) = match (parsed.positionals.as_slice(), &parsed.rest) {
        ([profile], Some(_)) => (profile.clone(), None),
        ([profile, text], None) => (profile.clone(), Some(split(text)?)),
        _ => return Err("it does not name one AWS profile and one program".to_owned()),
    };
    finish(name, profile, options::Parsed { rest: inner.or(parsed.rest.clone()), ..parsed }, reading)
}

fn finish(
    name: &'static str,
    profile: String,
    parsed: options::Parsed,
    reading: &mut Reading,
) -> Result<Option<Vec<String>>, String> {
    for (effect, value) in &parsed.options {
        match effect {
            Effect::Refused(why) => return Err((*why).to_owned()),
            Effect::Region => reading.variable("AWS_REGION", value),
            _ => {}
        }
    }
    reading.wrapper_profile = Some(profile);
    reading.meaning.vault = Some(name);
    parsed.rest.map(Some).ok_or_else(|| "it runs no program".to_owned())
}
