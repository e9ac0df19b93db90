//! The arguments of `rolecall completions`.

use clap::Args;

/// Print a script that completes commands in your shell
///
/// The shell then completes commands, options, profiles, sources, contexts, AWS profiles and regions. The names come from
/// your files; the agent is not started.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  bash:  rolecall completions bash > ~/.local/share/bash-completion/completions/rolecall
  zsh:   rolecall completions zsh > ~/.zfunc/_rolecall   (a folder of your fpath)
  fish:  rolecall completions fish > ~/.config/fish/completions/rolecall.fish")]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}
