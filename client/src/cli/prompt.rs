//! What `prompt` takes.

use clap::{Args, ValueEnum};

/// Print the profile and its time left, for the prompt of a shell
///
/// Prints nothing if kubectl's current context is not Rolecall's. Reads files only and never fails, so it does not delay a
/// prompt. The name of a protected profile is red.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  bash:      PS1='$(rolecall prompt --format bash) '$PS1
  zsh:       setopt prompt_subst; PS1='$(rolecall prompt --format zsh) '$PS1
  fish:      function fish_right_prompt; rolecall prompt --format fish; end
  starship:  [custom.rolecall]
             command = 'rolecall prompt --format starship'
             when = true")]
pub(crate) struct Prompt {
    /// The shell, which decides how colours are written; sh has none
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: PromptFormat,
}

/// The program that shows the prompt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum PromptFormat {
    #[default]
    Sh,
    Bash,
    Zsh,
    Fish,
    Starship,
    Json,
}
