//! The words of `cargo xtask`, as data.

use crate::workspace::Workspace;
use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use std::fmt;
use std::fmt::Write;

/// A failure that the command has reported itself, so that its report stays the last thing on the screen.
#[derive(Debug)]
pub(crate) struct Reported(pub(crate) String);

impl fmt::Display for Reported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Reported {}

/// One word.
pub(crate) struct Command {
    pub(crate) word: &'static str,
    pub(crate) summary: &'static str,
    /// What may be given beside options.
    pub(crate) operands: Option<&'static str>,
    pub(crate) options: &'static [CommandOption],
    run: fn(&Workspace, &Options) -> Result<()>,
}

/// One option of a word.
pub(crate) struct CommandOption {
    pub(crate) name: &'static str,
    /// The name of its value, if it takes one.
    pub(crate) value: Option<&'static str>,
    pub(crate) summary: &'static str,
}

impl Command {
    fn usage(&self) -> String {
        match self.operands {
            Some(operands) => format!("{} {operands}", self.word),
            None => self.word.to_string(),
        }
    }
}

impl CommandOption {
    fn usage(&self) -> String {
        match self.value {
            Some(value) => format!("{} {value}", self.name),
            None => self.name.to_string(),
        }
    }
}

/// Every word, in the order in which the help shows them.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        word: "tidy",
        summary: "checks what no compiler checks: layers, manifests, names, lengths, generated sections",
        operands: None,
        options: &[CommandOption {
            name: "--fix",
            value: None,
            summary: "rewrites the generated sections of README.md and docs/",
        }],
        run: crate::tidy::run,
    },
    Command {
        word: "lint",
        summary: "rustfmt, clippy and rustdoc over the whole workspace; a warning is an error",
        operands: None,
        options: &[],
        run: crate::lint::run,
    },
    Command {
        word: "test",
        summary: "every test, the outside judges, quick guest scenarios; ends with: N passed, N failed, N skipped",
        operands: None,
        options: &[],
        run: crate::test::run,
    },
    Command {
        word: "lspci",
        summary: "has lspci decode the demo hierarchy and compares with the committed expectation",
        operands: None,
        options: &[CommandOption {
            name: "--update",
            value: None,
            summary: "rewrites the expectation",
        }],
        run: crate::lspci::run,
    },
    Command {
        word: "guest",
        summary: "runs scenarios, or all, in unmodified Linux guests; or a command line where KVM works",
        operands: Some("[SCENARIO…]"),
        options: &[
            CommandOption {
                name: "--kernel",
                value: Some("VERSION"),
                summary: "6.1 or 6.12, and more than once; all unless given",
            },
            CommandOption {
                name: "--run",
                value: Some("COMMAND"),
                summary: "a shell's command line in place of scenarios; finds vmlinux-VERSION and guest.cpio",
            },
            CommandOption {
                name: "--file",
                value: Some("PATH[:NAME]"),
                summary: "gives the machine a file, such as a static binary; more than once",
            },
            CommandOption {
                name: "--init",
                value: Some("PATH"),
                summary: "the first process of guest.cpio; lspci unless given",
            },
            CommandOption {
                name: "--list",
                value: None,
                summary: "the scenarios",
            },
        ],
        run: crate::guest::run,
    },
    Command {
        word: "tables",
        summary: "has iasl, acpiexec and dtc read the demo hierarchy's ACPI tables and device tree",
        operands: None,
        options: &[],
        run: crate::tables::run,
    },
    Command {
        word: "promtool",
        summary: "has Prometheus's promtool judge the metrics of the demo hierarchy",
        operands: None,
        options: &[],
        run: crate::promtool::run,
    },
    Command {
        word: "page",
        summary: "tests the page for browsers in a headless Chromium; pictures are kept in target/page-screenshots",
        operands: None,
        options: &[],
        run: crate::page::run,
    },
    Command {
        word: "bench",
        summary: "times the hot paths, counts their instructions, and writes docs/performance.md",
        operands: None,
        options: &[
            CommandOption {
                name: "--sizes",
                value: None,
                summary: "only what depends on the size of a hierarchy: composing, scanning, saving, inspecting, memory",
            },
            CommandOption {
                name: "--recording",
                value: None,
                summary: "only what a recorder costs",
            },
        ],
        run: crate::bench::run,
    },
    Command {
        word: "fuzz",
        summary: "runs the fuzz bodies under libFuzzer, on input that the coverage of the code leads to",
        operands: None,
        options: &[
            CommandOption {
                name: "--seconds",
                value: Some("N"),
                summary: "for how long each; 600 unless given",
            },
            CommandOption {
                name: "--body",
                value: Some("NAME"),
                summary: "this one only",
            },
            CommandOption {
                name: "--minimize",
                value: None,
                summary: "rewrites the committed corpus: the fewest inputs that reach what all known ones reach",
            },
            CommandOption {
                name: "--random",
                value: None,
                summary: "the property tests named fuzz_ instead, on random input; needs no C++ compiler",
            },
        ],
        run: crate::fuzz::run,
    },
    Command {
        word: "docs",
        summary: "builds the API pages and the book, and checks the links of all pages",
        operands: None,
        options: &[],
        run: crate::docs::run,
    },
    Command {
        word: "registers",
        summary: "writes the register reference in docs/registers from the register tables",
        operands: None,
        options: &[CommandOption {
            name: "--check",
            value: None,
            summary: "writes nothing; fails where a page is stale",
        }],
        run: crate::registers::run,
    },
    Command {
        word: "schema",
        summary: "writes the schema of saved state in docs/schema; refuses what earlier states would not survive",
        operands: None,
        options: &[CommandOption {
            name: "--check",
            value: None,
            summary: "writes nothing; fails where a file is stale",
        }],
        run: crate::schema::run,
    },
    Command {
        word: "ci",
        summary: "tidy, lint, test, docs, registers --check, schema --check and guest, with a summary",
        operands: None,
        options: &[],
        run: crate::ci::run,
    },
    Command {
        word: "help",
        summary: "this list",
        operands: None,
        options: &[],
        run: help,
    },
];

/// What is given on the command line, all of it declared by the command.
#[derive(Debug, Default)]
pub(crate) struct Options {
    options: Vec<(&'static str, Option<String>)>,
    operands: Vec<String>,
}

impl Options {
    /// Whether an option is given.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.options.iter().any(|(given, _)| *given == name)
    }

    /// An option's value, where it is given; the last one counts.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.texts(name).next_back()
    }

    /// The values of an option that may be given more than once.
    pub(crate) fn texts(&self, name: &str) -> impl DoubleEndedIterator<Item = &str> {
        self.options
            .iter()
            .filter(move |(given, _)| *given == name)
            .filter_map(|(_, value)| value.as_deref())
    }

    /// What is given beside the options.
    pub(crate) fn operands(&self) -> &[String] {
        &self.operands
    }

    /// An option's value as a number, where it is given.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>> {
        let Some(value) = self.text(name) else {
            return Ok(None);
        };
        let number = value
            .parse()
            .with_context(|| format!("{name}: '{value}' is not a number"))?;
        Ok(Some(number))
    }

    fn parse(command: &Command, mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut parsed = Self::default();
        while let Some(argument) = arguments.next() {
            let Some(option) = command.options.iter().find(|o| o.name == argument) else {
                if command.operands.is_some() && !argument.starts_with('-') {
                    parsed.operands.push(argument);
                    continue;
                }
                bail!("'{argument}' is not an option; see `cargo xtask help`");
            };
            let value = match option.value {
                None => None,
                Some(what) => Some(
                    arguments
                        .next()
                        .with_context(|| format!("{} needs a value: {what}", option.name))?,
                ),
            };
            parsed.options.push((option.name, value));
        }
        Ok(parsed)
    }
}

/// Runs one word.
pub(crate) fn run(word: &str, arguments: impl Iterator<Item = String>) -> Result<()> {
    let word = match word {
        "-h" | "--help" => "help",
        word => word,
    };
    let Some(command) = COMMANDS.iter().find(|command| command.word == word) else {
        bail!("no such word; see `cargo xtask help`");
    };
    let options = Options::parse(command, arguments)?;
    (command.run)(&Workspace::load()?, &options)
}

fn help(_: &Workspace, _: &Options) -> Result<()> {
    print!("{}", help_text());
    Ok(())
}

fn help_text() -> String {
    let mut out = "cargo xtask WORD\n\n".to_string();
    for command in COMMANDS {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "  {:<10} {}", command.usage(), command.summary);
        for option in command.options {
            let _ = writeln!(out, "    {:<20} {}", option.usage(), option.summary);
        }
    }
    out
}

/// The words as a Markdown table, for the book.
pub(crate) fn markdown_table() -> String {
    let mut out = "| command | what it does |\n| --- | --- |\n".to_string();
    for command in COMMANDS {
        let _ = writeln!(
            out,
            "| `cargo xtask {}` | {} |",
            command.usage(),
            command.summary
        );
        for option in command.options {
            let _ = writeln!(out, "| `… {}` | {} |", option.usage(), option.summary);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(word: &str) -> &'static Command {
        COMMANDS.iter().find(|c| c.word == word).unwrap()
    }

    fn parse(word: &str, arguments: &[&str]) -> Result<Options> {
        Options::parse(command(word), arguments.iter().map(|a| a.to_string()))
    }

    #[test]
    fn every_word_is_in_the_help_and_in_the_table() {
        for command in COMMANDS {
            assert!(help_text().contains(&format!("  {} ", command.word)));
            assert!(markdown_table().contains(&format!("`cargo xtask {}`", command.usage())));
        }
    }

    #[test]
    fn a_word_stands_for_one_command() {
        for command in COMMANDS {
            assert_eq!(
                COMMANDS.iter().filter(|c| c.word == command.word).count(),
                1
            );
        }
    }

    #[test]
    fn options_are_those_declared() {
        assert!(parse("tidy", &["--fix"]).unwrap().has("--fix"));
        assert!(!parse("tidy", &[]).unwrap().has("--fix"));
        let error = parse("tidy", &["--update"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "'--update' is not an option; see `cargo xtask help`"
        );
    }

    #[test]
    fn operands_are_for_words_that_take_them() {
        let options = parse("guest", &["enumerate", "--kernel", "6.1", "hot_plug"]).unwrap();
        assert_eq!(options.operands(), ["enumerate", "hot_plug"]);
        assert_eq!(options.texts("--kernel").collect::<Vec<_>>(), ["6.1"]);
        assert!(parse("guest", &["--speed"]).is_err());
        assert!(parse("tidy", &["all"]).is_err());
    }

    #[test]
    fn the_last_value_counts() {
        let options = parse("fuzz", &["--seconds", "3", "--seconds", "5"]).unwrap();
        assert_eq!(options.number("--seconds").unwrap(), Some(5));
        assert_eq!(
            parse("fuzz", &[]).unwrap().number("--seconds").unwrap(),
            None
        );
    }

    #[test]
    fn a_bad_value_is_named() {
        let error = parse("fuzz", &["--seconds"]).unwrap_err();
        assert_eq!(error.to_string(), "--seconds needs a value: N");
        let error = parse("fuzz", &["--seconds", "ten"])
            .unwrap()
            .number("--seconds")
            .unwrap_err();
        assert_eq!(error.to_string(), "--seconds: 'ten' is not a number");
    }
}
