//! Commands that ask and operate a hierarchy that is served.

use crate::command::rootplex;
use crate::command::text;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::ChildStdout;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

/// A folder of one test's own; paths of sockets are short, so not in the build folder.
pub(crate) fn folder() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Relaxed);
    let folder = std::env::temp_dir().join(format!("rxl-{}-{number}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    folder
}

/// `rootplex serve`, and where its socket is found.
pub(crate) struct Served {
    child: Child,
    stdout: BufReader<ChildStdout>,
    pub(crate) folder: PathBuf,
    pub(crate) socket: PathBuf,
}

impl Served {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let folder = folder();
        std::fs::write(
            folder.join("demo.toml"),
            include_str!("../../examples/demo.toml"),
        )
        .unwrap();
        let mut child = rootplex()
            .arg("serve")
            .args(arguments)
            .current_dir(&folder)
            .env("XDG_RUNTIME_DIR", &folder)
            .env_remove("ROOTPLEX_SOCKET")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let (_, socket) = line.trim().split_once(" at ").unwrap();
        Self {
            socket: socket.into(),
            child,
            stdout,
            folder,
        }
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = rootplex();
        command
            .current_dir(&self.folder)
            .env("XDG_RUNTIME_DIR", &self.folder)
            .env_remove("ROOTPLEX_SOCKET");
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().unwrap()
    }

    fn print(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(text(&output.stderr), "", "{arguments:?}");
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        text(&output.stdout)
    }

    /// What it says where it does not do it.
    fn refuse(&self, arguments: &[&str], status: i32) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}");
        text(&output.stderr)
    }

    /// Stops it as an operator does, and gives its exit status.
    pub(crate) fn stop(&mut self, signal: &str) -> Option<i32> {
        let id = self.child.id().to_string();
        let kill = Command::new("kill").args([signal, &id]).status().unwrap();
        assert!(kill.success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have been stopped already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The answer to a `GET`.
pub(crate) fn get(socket: &Path, target: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    let head = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_signal_ends_it_and_removes_the_socket() {
    for signal in ["-INT", "-TERM"] {
        let mut served = Served::start(&[]);
        assert!(served.socket.exists());
        assert!(get(&served.socket, "/inspect?depth=0").starts_with("HTTP/1.1 200"));
        assert_eq!(served.stop(signal), Some(0), "{signal}");
        assert!(!served.socket.exists(), "{signal}");
        assert_eq!(
            served.refuse(&["tree"], 3),
            format!(
                "rootplex: no server is live in {}/rootplex; start one with `rootplex serve`, or say --socket\n",
                served.folder.display()
            )
        );
    }
}

#[test]
fn the_only_live_server_is_found_and_of_two_one_is_chosen() {
    let first = Served::start(&["--topology", "demo.toml"]);
    assert!(first.print(&["tree"]).contains("front-slot"));
    let socket = first.folder.join("rootplex/second.sock");
    let second = Served::start(&["--socket", socket.to_str().unwrap()]);
    let error = first.refuse(&["tree"], 2);
    assert!(error.contains("choose by --socket"), "{error}");
    assert!(
        first
            .print(&["tree", "--socket", second.socket.to_str().unwrap()])
            .contains("front-slot")
    );
    let taken = first.refuse(&["serve", "--socket", socket.to_str().unwrap()], 1);
    assert!(
        taken.contains("a server is listening there already"),
        "{taken}"
    );
}

#[test]
fn it_serves_on_tcp_as_well() {
    let mut served = Served::start(&["--tcp", "0"]);
    let mut line = String::new();
    served.stdout.read_line(&mut line).unwrap();
    let (_, address) = line.trim().split_once("http://").unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let head = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn the_tree_follows_what_happens() {
    let served = Served::start(&[]);
    let line = |name: &str| {
        let tree = served.print(&["tree"]);
        let line = tree
            .lines()
            .find(|line| line.contains(name))
            .map(str::to_string);
        line.unwrap_or_default()
    };
    assert!(line("front-slot").ends_with("link down, slot 1 empty"));
    let file = served.folder.join("nic.toml");
    std::fs::write(
        &file,
        "name = \"nic9\"\nbar = [{ kind = \"64\", size = \"64K\" }]\n",
    )
    .unwrap();
    served.print(&["plug", "front-slot", file.to_str().unwrap()]);
    // Nobody drives the hierarchy.
    assert!(
        line("front-slot").ends_with("link 32 GT/s x16, slot 1 occupied  ! interrupt disabled")
    );
    assert!(line("nic9").contains("endpoint 1414:c1e0"));
    served.print(&["unplug", "front-slot"]);
    assert!(line("front-slot").contains("link down, slot 1 empty  ! "));
    assert_eq!(line("nic9"), "");
    let events = served.print(&["events"]);
    let happened: Vec<_> = events
        .lines()
        .filter(|line| line.contains("nic9"))
        .collect();
    assert_eq!(happened.len(), 2, "{events}");
    assert!(
        happened[0].ends_with("front-slot: plugged (nic9)"),
        "{}",
        happened[0]
    );
}

#[test]
fn a_port_on_one_screen() {
    let served = Served::start(&[]);
    let screen = served.print(&["port", "nvme-port0"]);
    for line in [
        "port        nvme-port0\n",
        "address     0000:00:03.0\n",
        "buses       09-10\n",
        "link        up, 32 GT/s, x16\n",
        "slot        2, occupied, power on, hot-plug\n",
        "AER         uncorrectable_status 00000000\n",
        "below       nvme0\n",
        "buses 09 to 10 below\n",
    ] {
        assert!(screen.contains(line), "{line:?} is not in {screen}");
    }
    assert!(screen.lines().count() <= 40, "{screen}");
    assert!(
        served
            .refuse(&["port", "nvme-port3"], 2)
            .contains("no port is named 'nvme-port3'; did you mean 'nvme-port0'")
    );
    // A device has a screen as well.
    assert!(
        served
            .print(&["port", "nvme0"])
            .contains("BAR         0 c0800000-c0803fff, 16 KiB, memory64\n")
    );
}

#[test]
fn watching_marks_what_changes() {
    let served = Served::start(&[]);
    let mut watching = served
        .command()
        .args([
            "inspect",
            "pcie0/functions/front-slot/station",
            "--watch",
            "--interval",
            "50",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    assert!(lines.any(|line| line == "      plugged: 0,"));
    served.print(&["plug", "front-slot"]);
    // One that was plugged is one more than before; the next look shows it unmarked.
    assert_eq!(
        lines.find(|line| line.contains(" plugged: 1,")).unwrap(),
        "*     plugged: 1,"
    );
    assert_eq!(
        lines.find(|line| line.contains(" plugged: 1,")).unwrap(),
        "      plugged: 1,"
    );
    watching.kill().unwrap();
    watching.wait().unwrap();
}

#[test]
fn events_are_followed() {
    let served = Served::start(&[]);
    let mut following = served
        .command()
        .args(["events", "--follow", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap())
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(&line.unwrap()).unwrap());
    let first = lines.next().unwrap();
    assert_eq!(
        (first["sequence"].as_u64(), first["kind"].as_str()),
        (Some(0), Some("buses"))
    );
    served.print(&["unplug", "nvme-port0", "--surprise"]);
    let gone = lines.find(|event| event["kind"] == "hot_plug").unwrap();
    assert_eq!(gone["port"], "nvme-port0");
    assert_eq!(gone["what"], "surprise removal");
    following.kill().unwrap();
    following.wait().unwrap();
}

#[test]
fn a_guest_that_does_not_answer_is_waited_for() {
    let served = Served::start(&["--topology", "demo.toml"]);
    // Nobody drives this hierarchy, and its slots have no attention button to ask with.
    let topology = "[[root_complex]]\nname = \"rc\"\necam = 0xe000_0000\n[[root_complex.port]]\nname = \"p\"\n\
        slot = { number = 1, attention_button = true, power_controller = true }\n\
        [root_complex.port.endpoint]\nname = \"card\"\n";
    std::fs::write(served.folder.join("t.toml"), topology).unwrap();
    drop(served);
    let folder = folder();
    std::fs::write(folder.join("t.toml"), topology).unwrap();
    let served = Served::start(&["--topology", folder.join("t.toml").to_str().unwrap()]);
    let error = served.refuse(&["unplug", "p", "--timeout", "1"], 1);
    assert_eq!(
        error,
        "rootplex: port 'p': the guest was asked and has not let the device go in 1 s; --surprise does not ask\n"
    );
    served.print(&["unplug", "p", "--surprise"]);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn mistakes_have_their_status() {
    let served = Served::start(&[]);
    for (arguments, status, hint) in [
        (
            &["inspect", "pcie0/functions/nope"][..],
            2,
            "as far as 'pcie0/functions'",
        ),
        (&["inspect", "--depth", "65"], 2, "at most 64 levels"),
        (&["plug", "nvme-port0"], 1, "is occupied by 'nvme0'"),
        (&["plug", "gpu-prt"], 2, "did you mean 'gpu-port'"),
        (&["plug", "front-slot", "/nowhere.toml"], 1, "No such file"),
        (&["power", "gpu-port"], 1, "has no slot"),
        (&["restore", "demo.toml"], 2, "this is no saved state"),
        (&["completions", "tcsh"], 2, "no completions for 'tcsh'"),
        (&["tree", "--socket", "/nowhere.sock"], 3, "/nowhere.sock: "),
    ] {
        let error = served.refuse(arguments, status);
        assert!(error.contains(hint), "{arguments:?}: {error}");
    }
}

#[test]
fn paths_and_ports_are_completed() {
    let served = Served::start(&[]);
    let complete = |words: &[&str]| {
        let output = served
            .command()
            .env("COMPLETE", "bash")
            .env("_CLAP_IFS", "\n")
            .env("_CLAP_COMPLETE_INDEX", (words.len() - 1).to_string())
            .arg("--")
            .args(words)
            .output()
            .unwrap();
        text(&output.stdout)
    };
    assert_eq!(
        complete(&[
            "rootplex",
            "inspect",
            "pcie0/functions/nvme-port1/cfg_space/h"
        ]),
        "pcie0/functions/nvme-port1/cfg_space/header/"
    );
    assert_eq!(complete(&["rootplex", "inspect", "cxl0/na"]), "cxl0/name");
    assert_eq!(complete(&["rootplex", "unplug", "front"]), "front-slot");
    assert!(served.print(&["completions", "bash"]).contains("rootplex"));
}

#[test]
fn colour_is_for_terminals() {
    let served = Served::start(&[]);
    assert!(!served.print(&["tree"]).contains('\u{1b}'));
}

#[test]
fn the_help_has_examples_and_exit_statuses() {
    for word in [
        "serve",
        "inspect",
        "tree",
        "port",
        "events",
        "plug",
        "unplug",
        "button",
        "latch",
        "power",
        "save",
        "restore",
        "lspci",
        "completions",
        "demo",
        "run",
        "replay",
        "tables",
    ] {
        let help = crate::command::print(&[word, "--help"]);
        assert!(
            help.contains(&format!("rootplex {word}")) && help.contains("Examples:"),
            "{help}"
        );
        assert!(help.contains("  3  no server answers"), "{help}");
    }
}
