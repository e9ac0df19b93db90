//! Keeps the `KUBECONFIG` of the shell when the user's startup files set the variable.
//!
//! Many users have `export KUBECONFIG=…` in `.bashrc` or `.zshrc`. It would replace the kubeconfig of the shell, and kubectl
//! would silently use the current context of all terminals. So the variable is set again after these files: bash gets a
//! startup file that reads the user's own first, zsh a hook for its first prompt, fish a command. Other shells read no file
//! of this kind unless `ENV` names one.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use rolecall_trusted_file::shell_quoted;

use crate::environment::Environment;
use crate::error::CliError;
use crate::private_kubeconfig::PrivateKubeconfig;

/// Makes the shell set `KUBECONFIG` after its startup files.
pub(super) fn keep_variables(
    command: &mut Command,
    shell: &Path,
    kubeconfig: &PrivateKubeconfig,
    environment: &Environment,
) -> Result<(), CliError> {
    let path = shell_quoted(&kubeconfig.path);
    match shell.file_name().and_then(OsStr::to_str) {
        Some("bash") => {
            let file = kubeconfig.write_beside("bashrc", &bash_file(&path))?;
            command.arg("--rcfile").arg(file);
        }
        Some("zsh") => {
            let zdotdir = environment.get("ZDOTDIR").map(|folder| shell_quoted(Path::new(folder)));
            let file = kubeconfig.write_beside(".zshenv", &zsh_file(&path, zdotdir.as_deref()))?;
            command.env("ZDOTDIR", file.with_file_name(""));
        }
        Some("fish") => {
            command.arg("--init-command").arg(format!("set --global --export KUBECONFIG {path}"));
        }
        _ => {}
    }
    Ok(())
}

fn bash_file(path: &str) -> String {
    format!("if [ -f ~/.bashrc ]; then . ~/.bashrc; fi\nexport KUBECONFIG={path}\n")
}

/// zsh reads `.zshenv` first. It reads the other files from the user's own folder, since the variable is restored here.
fn zsh_file(path: &str, zdotdir: Option<&str>) -> String {
    let restore = zdotdir.map_or_else(|| "unset ZDOTDIR".to_owned(), |folder| format!("export ZDOTDIR={folder}"));
    format!(
        "{restore}
if [[ -f ${{ZDOTDIR:-$HOME}}/.zshenv ]]; then . ${{ZDOTDIR:-$HOME}}/.zshenv; fi
_rolecall_shell() {{
  export KUBECONFIG={path}
  precmd_functions=(${{precmd_functions:#_rolecall_shell}})
  unfunction _rolecall_shell
}}
precmd_functions+=(_rolecall_shell)
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zsh_file_restores_the_folder_of_the_user() {
        assert!(zsh_file("/run/k", None).starts_with("unset ZDOTDIR\n"));
        assert!(zsh_file("/run/k", Some("'/a b'")).starts_with("export ZDOTDIR='/a b'\n"));
        assert!(bash_file("'/a b/k'").ends_with("\nexport KUBECONFIG='/a b/k'\n"));
    }
}
