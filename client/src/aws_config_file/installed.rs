//! Changes the AWS profiles that `rolecall credentials --install` wrote, when their profile of Rolecall is renamed or removed.

use std::collections::BTreeMap;
use std::path::Path;

use rolecall_protocol::aws_config::SectionKind;
use rolecall_protocol::aws_config::ini::{Section, Setting, Value};
use rolecall_protocol::location;

use super::{AwsConfigError, LOCK_TIMEOUT, MAX_BYTES, is_of_rolecall, own_setting, parse};
use crate::error::CliError;
use crate::files::atomic_file::{self, Backup};
use crate::files::names;
use crate::files::path_text::display_path;
use crate::output;

/// The names of the AWS profiles that run `rolecall credentials` for a profile.
#[derive(Debug, Default, PartialEq, Eq)]
struct Changes {
    changed: Vec<String>,
    /// They have other settings, or another form than the written one.
    kept: Vec<String>,
}

/// Lets the AWS profiles that run `rolecall credentials OLD` use `new`. They keep their names, because scripts use them. Returns a line
/// about each. A problem is a note.
pub(crate) fn rename(old: &str, new: &str) -> Vec<String> {
    let (changes, place) = change(&|path, text| renamed_in(path, text, old, new));
    for name in &changes.kept {
        output::print_note(&format!(
            "the AWS profile {name} in {place} still uses {old}; write it again with: rolecall credentials {new} --install {name}"
        ));
    }
    changes.changed.iter().map(|name| format!("the AWS profile {name} in {place} now uses {new}")).collect()
}

/// Removes the AWS profiles that run `rolecall credentials` for these profiles. Returns a line about each. A problem is a note.
pub(crate) fn remove(profiles: &[&str]) -> Vec<String> {
    let (changes, place) = change(&|path, text| removed_from(path, text, profiles));
    for name in &changes.kept {
        output::print_note(&format!(
            "the AWS profile {name} in {place} gets no credentials from now on, and stays: it has other settings"
        ));
    }
    changes.changed.iter().map(|name| format!("removed the AWS profile {name} from {place}")).collect()
}

type Edit<'a> = dyn Fn(&Path, &str) -> Result<(String, Changes), AwsConfigError> + 'a;

/// Edits AWS's configuration file. Returns what changed, and the path for messages.
fn change(edit: &Edit<'_>) -> (Changes, String) {
    let Ok((config, _)) = location::aws_files() else { return Default::default() };
    let place = display_path(&config);
    let changes = change_file(&config, edit).unwrap_or_else(|error| {
        output::print_note(&format!("{place} is unchanged: {}", CliError::from(error)));
        Changes::default()
    });
    (changes, place)
}

fn change_file(config: &Path, edit: &Edit<'_>) -> Result<Changes, AwsConfigError> {
    // Most files have no such AWS profile. They need not be valid, or private.
    let text = atomic_file::read(config, MAX_BYTES).map(|original| original.text).unwrap_or_default();
    if edit(config, &text).is_ok_and(|(_, changes)| changes == Changes::default()) {
        return Ok(Changes::default());
    }
    let _lock = atomic_file::lock_folder(names::folder_of(&atomic_file::resolve(config)?), LOCK_TIMEOUT)?;
    let original = atomic_file::read_trusted(config, MAX_BYTES)?;
    let (text, changes) = edit(config, &original.text)?;
    if !changes.changed.is_empty() {
        atomic_file::replace(&original, &text, Backup::Keep)?;
    }
    Ok(changes)
}

fn renamed_in(path: &Path, text: &str, old: &str, new: &str) -> Result<(String, Changes), AwsConfigError> {
    let (old_end, new_end) = (format!(" credentials {old}"), format!(" credentials {new}"));
    edit_each(path, text, &[old], |section, lines| {
        let (line, process) = own_setting(section, "credential_process")?;
        let process = format!("{}{new_end}", process.strip_suffix(&old_end)?);
        let text = lines.get_mut(line - 1)?;
        let at = text.rfind(&old_end)?;
        text.replace_range(at..at + old_end.len(), &new_end);
        let mut settings = values(section);
        settings.insert("credential_process".to_owned(), Value::Text(process));
        Some(Some(settings))
    })
}

fn removed_from(path: &Path, text: &str, profiles: &[&str]) -> Result<(String, Changes), AwsConfigError> {
    edit_each(path, text, profiles, |section, lines| {
        // A setting above the header is one of the section DEFAULT.
        let is_other = |(key, setting): (&String, &Setting)| {
            setting.line < section.line || (key != "credential_process" && key != "region")
        };
        if section.settings.iter().any(is_other) {
            return None;
        }
        for line in section.settings.values().map(|setting| setting.line).chain([section.line]) {
            lines.get_mut(line - 1)?.clear();
        }
        // The empty line that separated it from the section before.
        if let Some(gap) = section.line.checked_sub(2).and_then(|line| lines.get_mut(line))
            && gap.trim().is_empty()
        {
            gap.clear();
        }
        Some(None)
    })
}

/// Edits the lines of each section that runs `rolecall credentials` for one of the profiles. `edit` returns the settings that the
/// section has afterwards, or `Some(None)` for a removed one, or `None` to leave it. An edit with any other effect is left out.
fn edit_each(
    path: &Path,
    text: &str,
    profiles: &[&str],
    edit: impl Fn(&Section, &mut Vec<String>) -> Option<Option<Settings>>,
) -> Result<(String, Changes), AwsConfigError> {
    let mut changes = Changes::default();
    let mut text = text.to_owned();
    let own = parse(path, &text)?.into_iter().filter_map(|section| {
        let name = SectionKind::of(&section.name);
        let SectionKind::Profile(name) = name else { return None };
        let (_, process) = own_setting(&section, "credential_process")?;
        let is_meant =
            |profile: &&str| is_of_rolecall(process) && process.ends_with(&format!(" credentials {profile}"));
        profiles.iter().any(is_meant).then_some((section.name, name))
    });
    for (header, name) in own.collect::<Vec<_>>() {
        let sections = parse(path, &text)?;
        let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
        let edited = sections.iter().find(|section| section.name == header).and_then(|section| {
            let settings = edit(section, &mut lines)?;
            let mut expected: BTreeMap<String, Settings> =
                sections.iter().map(|section| (section.name.clone(), values(section))).collect();
            expected.remove(&header);
            expected.extend(settings.map(|settings| (header.clone(), settings)));
            let edited = lines.concat();
            // Reads it again: Python ends lines at characters at which this does not.
            let found = parse(path, &edited).ok()?;
            let found: BTreeMap<String, Settings> =
                found.iter().map(|section| (section.name.clone(), values(section))).collect();
            (found == expected).then_some(edited)
        });
        match edited {
            Some(edited) => {
                text = edited;
                changes.changed.push(name);
            }
            None => changes.kept.push(name),
        }
    }
    Ok((text, changes))
}

type Settings = BTreeMap<String, Value>;

fn values(section: &Section) -> Settings {
    section.settings.iter().map(|(key, setting)| (key.clone(), setting.value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "# mine\r\n[default]\nregion = x\n\n[profile prod]\n# why\ncredential_process = /usr/bin/rolecall credentials prod\n\
                          region = eu-west-1\n\n[profile other]\ncredential_process = /usr/bin/rolecall credentials production\n\n\
                          [profile admin]\ncredential_process=\"/a b/rolecall\" credentials prod\noutput = json\n";

    fn changes(changed: &[&str], kept: &[&str]) -> Changes {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Changes { changed: names(changed), kept: names(kept) }
    }

    #[test]
    fn rename_changes_the_last_word_alone() {
        let (text, found) = renamed_in(Path::new("config"), BEFORE, "prod", "live").unwrap();
        assert_eq!(found, changes(&["prod", "admin"], &[]));
        let expected = BEFORE.replace("rolecall credentials prod\n", "rolecall credentials live\n");
        assert_eq!(text, expected.replace("\"/a b/rolecall\" credentials prod", "\"/a b/rolecall\" credentials live"));
        let (text, found) = renamed_in(Path::new("config"), BEFORE, "pro", "live").unwrap();
        assert_eq!((text.as_str(), found), (BEFORE, Changes::default()));
    }

    #[test]
    fn remove_keeps_comments_and_sections_with_more() {
        let (text, found) = removed_from(Path::new("config"), BEFORE, &["prod", "staging"]).unwrap();
        assert_eq!(found, changes(&["prod"], &["admin"]));
        assert_eq!(
            text,
            "# mine\r\n[default]\nregion = x\n# why\n\n[profile other]\ncredential_process = /usr/bin/rolecall credentials \
             production\n\n[profile admin]\ncredential_process=\"/a b/rolecall\" credentials prod\noutput = json\n"
        );
    }

    /// A form that `install` does not write stays, and nothing of the file changes.
    #[test]
    fn edit_with_another_effect_is_left_out() {
        for text in [
            // Removed lines would give their continuation to the section before.
            "[a]\nx = 1\n[profile prod]\nregion =\n  y = 1\ncredential_process = /usr/bin/rolecall credentials prod\n",
            "[DEFAULT]\nregion = x\n[profile prod]\ncredential_process = /usr/bin/rolecall credentials prod\n",
        ] {
            let (after, found) = removed_from(Path::new("config"), text, &["prod"]).unwrap();
            assert_eq!((after.as_str(), found), (text, changes(&[], &["prod"])));
        }
    }
}
