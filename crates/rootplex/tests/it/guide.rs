//! The guide to inspecting: its commands are run, in its order.

use crate::command::text;
use crate::live::Served;
use crate::live::get;

const GUIDE: &str = include_str!("../../../../docs/inspecting.md");
const DESCRIBING: &str = include_str!("../../../../docs/topology.md");

/// The commands of the console blocks, each with the lines that follow it.
fn commands() -> Vec<(&'static str, Vec<&'static str>)> {
    let blocks = GUIDE.split("```console\n").skip(1);
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
    let mut commands = commands().into_iter();
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
fn the_description_of_the_guide_is_composed_and_brought_up() {
    let (_, rest) = DESCRIBING.split_once("```toml\n").unwrap();
    let (description, _) = rest.split_once("```").unwrap();
    let session = rootplex::session::Session::compose(description).unwrap();
    let tree = session.tree().to_string();
    for name in ["front-slot", "net0", "switch0", "right"] {
        assert!(tree.contains(name), "{name}: {tree}");
    }
}
