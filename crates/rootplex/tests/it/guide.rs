//! The guide to inspecting: its commands are run, in its order.

use crate::command::text;
use crate::live::Served;
use crate::live::get;

const GUIDE: &str = include_str!("../../../../docs/inspecting.md");
const DESCRIBING: &str = include_str!("../../../../docs/topology.md");

const TROUBLESHOOTING: &str = include_str!("../../../../docs/troubleshooting.md");

/// The commands of the console blocks, each with the lines that follow it.
fn commands(guide: &'static str) -> Vec<(&'static str, Vec<&'static str>)> {
    let blocks = guide.split("```console\n").skip(1);
    let lines = blocks.flat_map(|block| block.split("```").next().unwrap().lines());
    let mut commands: Vec<(_, Vec<_>)> = Vec::new();
    for line in lines {
        match line.strip_prefix("$ ") {
            Some(command) => commands.push((command, Vec::new())),
            None => commands.last_mut().unwrap().1.push(line),
        }
    }
    commands
}

#[test]
fn every_command_of_the_guide_does_what_the_guide_says() {
    let mut commands = commands(GUIDE).into_iter();
    let (serve, _) = commands.next().unwrap();
    let arguments: Vec<_> = serve.split(' ').skip(2).collect();
    let served = Served::start(&arguments);
    let mut run = 0;
    for (command, expected) in commands {
        let words: Vec<_> = command.split(' ').collect();
        run += 1;
        if words[0] == "curl" {
            let url = words.last().unwrap();
            let target = url.strip_prefix("http://localhost").unwrap();
            let answer = get(&served.socket, target);
            assert!(answer.starts_with("HTTP/1.1 200"), "{command}: {answer}");
            continue;
        }
        assert_eq!(words[0], "rootplex", "{command}");
        let output = served.run(&words[1..]);
        let error = text(&output.stderr);
        if words[1] == "lspci" {
            // What lspci says of its machine is its own affair, and it may not be installed.
            assert!(output.status.success() || error.contains("lspci (of pciutils)"));
            continue;
        }
        assert_eq!(error.lines().collect::<Vec<_>>(), expected, "{command}");
        assert_eq!(output.status.success(), expected.is_empty(), "{command}");
    }
    assert!(run >= 15, "{run} commands");
}

#[test]
fn every_case_is_found_out_by_the_commands_of_its_chapter() {
    let mut served: Option<Served> = None;
    let (mut cases, mut lines) = (0, 0);
    for (command, expected) in commands(TROUBLESHOOTING) {
        let words: Vec<_> = command.split(' ').collect();
        if let ["rootplex", "serve", arguments @ ..] = &words[..] {
            served = Some(Served::start(arguments));
            cases += 1;
            continue;
        }
        let output = served.as_ref().unwrap().run(&words[1..]);
        assert!(output.status.success(), "{command}");
        let shown = text(&output.stdout);
        for line in expected {
            assert!(
                shown.lines().any(|shown| shown == line),
                "{command} does not show {line:?} but\n{shown}"
            );
            lines += 1;
        }
    }
    assert_eq!(cases, rootplex::cases::CASES.len());
    assert!(lines >= 2 * cases, "{lines} lines are compared");
}

#[test]
fn in_each_case_one_port_is_marked_and_its_cause_comes_first() {
    for (case, port, badge, register) in [
        (
            "interrupt-disabled",
            "bay1",
            "interrupt disabled",
            "Hot-Plug Interrupt Enable is 0",
        ),
        (
            "bus-numbers-missing",
            "bay2",
            "no bus numbers",
            "Secondary Bus Number is 0",
        ),
        (
            "window-too-small",
            "bay1",
            "window too small",
            "prefetchable window",
        ),
    ] {
        let served = Served::start(&["--case", case]);
        let tree = text(&served.run(&["tree"]).stdout);
        let marked: Vec<_> = tree.lines().filter(|line| line.contains("  ! ")).collect();
        assert_eq!(marked.len(), 1, "{tree}");
        assert!(
            marked[0].contains(&format!(" {port} ")) && marked[0].ends_with(&format!("! {badge}")),
            "{tree}"
        );
        assert!(
            tree.contains(&format!("`rootplex port {port}` says why")),
            "{tree}"
        );
        let screen = text(&served.run(&["port", port]).stdout);
        let third = screen.lines().nth(2).unwrap();
        assert!(
            third.starts_with(&format!("problem     ! {badge}: ")) && third.contains(register),
            "{screen}"
        );
        assert!(
            screen.lines().nth(3).unwrap().starts_with("  cure      "),
            "{screen}"
        );
    }
}

#[test]
fn the_chapter_names_every_mark() {
    for rule in inspect_service::topology::RULES {
        let row = format!("| {} | ", rule.badge);
        assert!(TROUBLESHOOTING.contains(&row), "{}", rule.badge);
    }
}

#[test]
fn the_description_of_the_guide_is_composed_and_brought_up() {
    let (_, rest) = DESCRIBING.split_once("```toml\n").unwrap();
    let (description, _) = rest.split_once("```").unwrap();
    let session = rootplex::session::Session::compose(description).unwrap();
    let tree = session.tree().to_string();
    for name in ["front-slot", "net0", "switch0", "right"] {
        assert!(tree.contains(name), "{name}: {tree}");
    }
}
