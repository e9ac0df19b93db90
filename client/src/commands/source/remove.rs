//! `rolecall source remove NAME…`.

use rolecall_protocol::{SourceName, similar_names};

use crate::config_file::{self, ConfigFile};
use crate::context::Context;
use crate::daemon::{Daemon, config_status};
use crate::error::CliError;
use crate::files::error::Untouched;
use crate::files::path_text::display_path;

/// Removes the sources. Changes nothing if one of them is unknown or in use.
pub(super) fn run(names: &[SourceName], context: &Context) -> Result<(), CliError> {
    let path = context.config_path()?;
    config_status::check_running_daemon_config(&path, &context.environment)?;
    config_file::edit(&path, |file| {
        for name in names {
            check_removable(name, file)?;
        }
        for name in names {
            file.remove_source(name);
        }
        Ok::<(), CliError>(())
    })?;
    Daemon::reload();
    for name in names {
        context.print_done(&format!("removed the source {name} from {}", display_path(&path)))?;
    }
    Ok(())
}

fn check_removable(name: &SourceName, file: &ConfigFile) -> Result<(), CliError> {
    let known = file.source_names();
    if !known.iter().any(|known| known == name.as_str()) {
        file.check_own_source(name.as_str())?;
        let hint = match similar_names(name.as_str(), known.iter().map(String::as_str)).as_slice() {
            [] => "See the sources with: rolecall source list".to_owned(),
            alike => format!("Did you mean {}?", alike.join(" or ")),
        };
        let error = CliError::failed(format!("there is no source \"{name}\" in the configuration"), hint);
        return Err(error.untouched(Untouched::NothingChanged));
    }
    let users = file.profiles_of_source(name);
    if users.is_empty() {
        return Ok(());
    }
    let (noun, verb) = if users.len() == 1 { ("profile", "uses") } else { ("profiles", "use") };
    Err(CliError::failed(
        format!("the source \"{name}\" is in use: the {noun} {} {verb} it", users.join(", ")),
        format!("Remove the {noun} first: rolecall remove {}", users.join(" ")),
    )
    .untouched(Untouched::NothingChanged))
}
