//! Running the program.

use std::path::PathBuf;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;

pub(crate) fn rootplex() -> Command {
    Command::new(env!("CARGO_BIN_EXE_rootplex"))
}

/// Runs the program to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    rootplex().args(arguments).output().unwrap()
}

/// What the program prints when all is well.
pub(crate) fn print(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert_eq!(text(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
    text(&output.stdout)
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A file of one test's own, with `contents`.
pub(crate) fn file(name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, contents).unwrap();
    path
}

/// A path of one test's own, with nothing there.
pub(crate) fn vacancy(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_file(&path);
    path
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let mut child = rootplex()
        .arg("demo")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (text(&output.stderr), output.status.code()),
        (String::new(), Some(0))
    );
}

#[test]
fn the_help_tells_the_exit_statuses() {
    for arguments in [&["--help"][..], &["demo", "--help"], &["run", "--help"]] {
        let help = print(arguments);
        assert!(
            help.contains("  2  the command line, the file or a name in it is wrong"),
            "{help}"
        );
    }
}
