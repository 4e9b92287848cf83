//! What a command prints of the state. The process that holds the state makes it: a daemon sends the text as it is, so a
//! command and a daemon of another version understand each other.

use std::io::Write;

use clap::{Args, ValueEnum};
use serde::Deserialize;

use crate::exit::{Exit, Failure, written};

/// How a result is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// Text for people
    #[default]
    Text,
    /// JSON
    Json,
}

impl Format {
    /// Returns the name, as it is parsed.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Format::Text => "text",
            Format::Json => "json",
        }
    }
}

/// The options for the format.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct FormatArgs {
    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    /// The same as `-o json`
    #[arg(long, conflicts_with = "output")]
    json: bool,
}

impl FormatArgs {
    /// Returns the format that the options ask for.
    pub(crate) fn format(self) -> Format {
        if self.json { Format::Json } else { self.output }
    }
}

/// The output of a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Printed {
    /// The result. No text of an attacker in it can move a cursor or hide.
    pub(crate) text: String,
    /// What a person should know beside it, in ASCII, a line each.
    pub(crate) notes: Vec<String>,
}

impl Printed {
    /// Writes the result to standard output, and logs the notes.
    pub(crate) fn print(&self) -> Result<Exit, Failure> {
        written(std::io::stdout().write_all(self.text.as_bytes()))?;
        for note in &self.notes {
            tracing::warn!("{note}");
        }
        Ok(Exit::Done)
    }
}
