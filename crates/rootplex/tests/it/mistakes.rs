//! What the program says when something is wrong, to the line.

use crate::command::file;
use crate::command::run;
use crate::command::text;

fn fails(arguments: &[&str], status: i32, lines: &[&str]) {
    let output = run(arguments);
    let said = text(&output.stderr);
    assert_eq!(
        (said.lines().collect::<Vec<_>>(), output.status.code()),
        (lines.to_vec(), Some(status))
    );
    assert_eq!(text(&output.stdout), "", "a report of what does not exist");
}

/// Runs a description; `lines` are without the file's name.
fn refuses(name: &str, description: &str, lines: &[&str]) {
    let path = file(name, description);
    let path = path.to_str().unwrap();
    let lines: Vec<_> = lines
        .iter()
        .map(|line| format!("rootplex: {path}: {line}"))
        .collect();
    fails(
        &["run", path],
        2,
        &lines.iter().map(String::as_str).collect::<Vec<_>>(),
    );
}

#[test]
fn a_malformed_file() {
    refuses(
        "malformed.toml",
        "[[root_complex]]\nname = \"rc0\"\necam = 0xe000_0000\nbuses = {",
        &["line 4, column 10: unclosed inline table, expected `}`"],
    );
}

#[test]
fn a_file_that_is_no_text() {
    let path = file("no-text.toml", b"# Latin-1:\n# caf\xe9\n");
    let path = path.to_str().unwrap();
    let line = format!("rootplex: {path}: line 2: this is no UTF-8, and so no TOML");
    fails(&["run", path], 2, &[&line]);
}

#[test]
fn a_field_that_does_not_exist() {
    refuses(
        "unknown-field.toml",
        "[[root_complex]]\nname = \"rc0\"\necam = 0xe000_0000\nlanes = 16\n",
        &[
            "line 4, column 1: unknown field `lanes`, expected one of `name`, `segment`, `buses`, `ecam`, `chbcr`, `mmio32`, \
             `mmio64`, `io`, `port`, `endpoint`, `event_collector`",
        ],
    );
}

#[test]
fn an_impossible_topology_names_every_mistake() {
    refuses(
        "impossible.toml",
        r#"
        [[root_complex]]
        name = "rc0"
        ecam = 0xe000_1000

        [[root_complex.port]]
        name = "rc0"
        slot = 9000
        "#,
        &[
            "root_complex[0].ecam: 0xe0001000 is not a multiple of 0x100000",
            "root_complex[0].port[0].name: \"rc0\" is used by root_complex[0] as well",
            "root_complex[0].port[0].slot: 9000; slot numbers are 0 to 8191",
        ],
    );
}

#[test]
fn an_unknown_port() {
    let path = file(
        "one-port.toml",
        "[[root_complex]]\nname = \"rc0\"\necam = 0xe000_0000\n[[root_complex.port]]\nname = \"rp0\"\n",
    );
    fails(
        &["run", path.to_str().unwrap(), "--port", "rp1"],
        2,
        &["rootplex: --port: no port is named 'rp1'; there is rp0"],
    );
}

#[test]
fn a_file_that_is_not_there() {
    fails(
        &["run", "nowhere.toml"],
        1,
        &["rootplex: nowhere.toml: No such file or directory (os error 2)"],
    );
}

#[test]
fn a_file_that_cannot_be_written() {
    let path = "no-such-folder/demo.svg";
    fails(
        &["demo", "--svg", path],
        1,
        &["rootplex: no-such-folder/demo.svg: No such file or directory (os error 2)"],
    );
}

/// What is wrong with a machine is said before KVM is asked for.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[test]
fn a_machine_that_cannot_be() {
    fails(
        &["boot", "--kernel", "vmlinux", "--cpus", "255"],
        2,
        &["rootplex: 255 processors; there can be 1 to 254"],
    );
    fails(
        &["boot", "--kernel", "vmlinux", "--memory", "32"],
        2,
        &["rootplex: memory of 32 MiB; it can be 64 to 1048576 MiB"],
    );
    fails(
        &["boot", "--restore", "no-such-machine"],
        1,
        &["rootplex: no-such-machine: No such file or directory (os error 2)"],
    );
    let path = file("no-machine.bin", [b'x'; 64]);
    let path = path.to_str().unwrap();
    fails(
        &["boot", "--restore", path],
        1,
        &[&format!("rootplex: {path}: this is no saved machine")],
    );
}

/// A missing kernel is found before KVM, which may be missing as well.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[test]
fn a_kernel_that_is_not_there() {
    fails(
        &["boot", "--kernel", "no-such-kernel"],
        1,
        &["rootplex: no-such-kernel: No such file or directory (os error 2)"],
    );
}
