//! Reading and writing files.

use crate::Problems;
use crate::Topology;

impl Topology {
    /// Reads a file, and validates what it says.
    ///
    /// # Errors
    ///
    /// - the text is no TOML, has a field that does not exist, lacks one that must be there, or has a value of the wrong type: one
    ///   problem, whose place is line and column;
    /// - the problems that [`Topology::validate`] finds.
    pub fn from_toml(text: &str) -> Result<Self, Problems> {
        let topology: Self = toml::from_str(text).map_err(|error| syntax_problem(text, &error))?;
        topology.validate()?;
        Ok(topology)
    }

    /// The description as a file, which [`Self::from_toml`] reads back.
    ///
    /// # Errors
    ///
    /// An address is above 2^63, which TOML's integers cannot say; validation refuses such as well.
    pub fn to_toml(&self) -> Result<String, Problems> {
        toml::to_string(self).map_err(|error| Problems::one("root_complex", error))
    }
}

fn syntax_problem(text: &str, error: &toml::de::Error) -> Problems {
    let message = error
        .message()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    let before = error
        .span()
        .and_then(|span| text.get(..span.start))
        .unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before
        .rsplit('\n')
        .next()
        .map_or(0, |line| line.chars().count())
        + 1;
    Problems::one(format!("line {line}, column {column}"), message)
}
