//! Where output and mistakes go.

use std::convert::Infallible;
use std::fmt;
use std::io::ErrorKind;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::string::FromUtf8Error;

/// Where a part of the output goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// `-`.
    StandardOutput,
    File(PathBuf),
}

impl FromStr for Target {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "-" => Self::StandardOutput,
            path => Self::File(path.into()),
        })
    }
}

impl Target {
    /// Writes all of `text`. A reader of standard output who has seen enough is no error.
    pub(crate) fn write(&self, text: &str) -> Result<(), Failure> {
        match self {
            Self::File(path) => {
                std::fs::write(path, text).map_err(|error| Failure::io(path, error))
            }
            Self::StandardOutput => show(text.as_bytes()).map(|_| ()),
        }
    }
}

/// Writes to standard output, without colour where that is no terminal. Whether its reader wants more; one who has seen enough is no
/// error.
pub(crate) fn show(text: &[u8]) -> Result<bool, Failure> {
    let mut stdout = anstream::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::io(Path::new("standard output"), error)),
    }
}

/// A file that is to be TOML.
pub(crate) fn read_text(path: &Path) -> Result<String, Failure> {
    let bytes = std::fs::read(path).map_err(|error| Failure::io(path, error))?;
    String::from_utf8(bytes).map_err(|error| Failure::not_text(path, &error))
}

/// Why the program gives up, in lines for standard error.
pub(crate) struct Failure {
    lines: Vec<String>,
    status: u8,
}

/// The command line or the description is wrong.
const MISTAKE: u8 = 2;
/// Anything else.
const FAILED: u8 = 1;
/// No server answers.
const NO_SERVER: u8 = 3;

impl Failure {
    pub(crate) fn mistake(text: impl fmt::Display) -> Self {
        Self {
            lines: vec![text.to_string()],
            status: MISTAKE,
        }
    }

    /// The mistakes of the description that came from `source`, one a line.
    pub(crate) fn mistakes(source: &str, error: &impl fmt::Display) -> Self {
        let lines = error
            .to_string()
            .lines()
            .map(|line| format!("{source}: {line}"))
            .collect();
        Self {
            lines,
            status: MISTAKE,
        }
    }

    /// A file that is no UTF-8, as TOML is.
    fn not_text(path: &Path, error: &FromUtf8Error) -> Self {
        let good = error
            .as_bytes()
            .get(..error.utf8_error().valid_up_to())
            .unwrap_or_default();
        let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
        Self::mistake(format_args!(
            "{}: line {line}: this is no UTF-8, and so no TOML",
            path.display()
        ))
    }

    pub(crate) fn other(text: impl fmt::Display) -> Self {
        Self {
            lines: vec![text.to_string()],
            status: FAILED,
        }
    }

    pub(crate) fn no_server(text: impl fmt::Display) -> Self {
        Self {
            lines: vec![text.to_string()],
            status: NO_SERVER,
        }
    }

    /// A failure with an exit status of its own.
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    pub(crate) fn with_status(status: u8, text: impl fmt::Display) -> Self {
        Self {
            status,
            ..Self::other(text)
        }
    }

    pub(crate) fn io(path: &Path, error: std::io::Error) -> Self {
        Self::other(format_args!("{}: {error}", path.display()))
    }

    /// Tells the lines and gives the exit status.
    pub(crate) fn report(self) -> ExitCode {
        let mut stderr = std::io::stderr().lock();
        for line in self.lines {
            // With standard error closed there is nobody left to tell.
            let _ = writeln!(stderr, "rootplex: {line}");
        }
        ExitCode::from(self.status)
    }
}
