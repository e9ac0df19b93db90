//! `-o`, which every command that prints a table has.

use clap::{Args, ValueEnum};

use crate::output::DataFormat;

/// How a command prints its result.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Output {
    /// The format: a table with every column, or data for programs
    #[arg(short, long, value_enum, value_name = "FORMAT", conflicts_with_all = ["json", "wide"])]
    output: Option<OutputFormat>,
    /// Same as -o json
    #[arg(long, conflicts_with = "wide")]
    json: bool,
    /// Same as -o wide
    #[arg(long)]
    wide: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OutputFormat {
    Json,
    Yaml,
    Wide,
}

impl Output {
    /// The format for programs; `None` if a table is wanted.
    pub(crate) fn data(&self) -> Option<DataFormat> {
        match self.output {
            Some(OutputFormat::Json) => Some(DataFormat::Json),
            Some(OutputFormat::Yaml) => Some(DataFormat::Yaml),
            Some(OutputFormat::Wide) => None,
            None => self.json.then_some(DataFormat::Json),
        }
    }

    /// Whether a table has every column, even if it is wider than the terminal.
    pub(crate) fn is_wide(&self) -> bool {
        self.wide || self.output == Some(OutputFormat::Wide)
    }
}
