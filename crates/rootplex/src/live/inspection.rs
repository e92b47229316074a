//! Values by name, once or again and again.

use super::ServerOption;
use super::client::Client;
use super::client::encoded;
use super::completion;
use crate::output::Failure;
use crate::output::show;
use anstyle::AnsiColor;
use anstyle::Style;
use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Duration;

/// A value that has changed since it was last shown.
const CHANGED: Style = AnsiColor::Yellow.on_default().bold();
/// Puts the cursor home and clears the screen.
const CLEAR: &str = "\x1b[H\x1b[2J";

#[derive(Args)]
pub(crate) struct Options {
    /// Where to look; all from the root without it. What lies deeper than shown is written _.
    #[arg(default_value = "", hide_default_value = true, add = ArgValueCompleter::new(completion::paths))]
    path: String,
    /// Open so many levels below.
    #[arg(long, value_name = "N", default_value_t = 2)]
    depth: usize,
    /// Write JSON.
    #[arg(long)]
    json: bool,
    /// Show it again and again, with what has changed in colour or, where that is no terminal, marked with an asterisk.
    #[arg(long, short, conflicts_with_all = ["json", "set"])]
    watch: bool,
    /// The pause between two looks, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 1000, requires = "watch", value_parser = clap::value_parser!(u64).range(50..))]
    interval: u64,
    /// Stop after so many looks.
    #[arg(long, value_name = "N", requires = "watch")]
    count: Option<u64>,
    /// Change the value, if it can be changed.
    #[arg(long, value_name = "VALUE", conflicts_with = "json")]
    set: Option<String>,
    #[command(flatten)]
    server: ServerOption,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let client = options.server.client()?;
    let path = options.path.trim_matches('/');
    if let Some(value) = &options.set {
        let target = format!("/inspect/{}", encoded(path));
        return client
            .send("PUT", &target, value.clone().into_bytes())
            .map(|_| ());
    }
    let format = if options.json { "json" } else { "text" };
    let target = format!(
        "/inspect/{}?depth={}&format={format}",
        encoded(path),
        options.depth
    );
    match options.watch {
        true => watch(&client, &target, options),
        false => show(&client.get(&target)?).map(|_| ()),
    }
}

fn watch(client: &Client, target: &str, options: &Options) -> Result<(), Failure> {
    let mut last = BTreeMap::new();
    let mut looks = 0;
    let is_terminal = std::io::stdout().is_terminal();
    loop {
        let text = client.get(target)?;
        let lines = keyed(&String::from_utf8_lossy(&text));
        let mut screen = if is_terminal { CLEAR } else { "" }.to_string();
        for (key, line) in &lines {
            let changed = looks > 0 && last.get(key) != Some(line);
            screen.push_str(&marked(line, changed, is_terminal));
        }
        if !is_terminal {
            screen.push('\n');
        }
        if !show(screen.as_bytes())? {
            return Ok(());
        }
        looks += 1;
        if options.count.is_some_and(|count| looks >= count) {
            return Ok(());
        }
        last = lines.into_iter().collect();
        #[expect(
            clippy::disallowed_methods,
            reason = "an operator watches in real time"
        )]
        std::thread::sleep(Duration::from_millis(options.interval));
    }
}

fn marked(line: &str, changed: bool, is_terminal: bool) -> String {
    match (changed, is_terminal) {
        (true, true) => format!("{CHANGED}{line}{CHANGED:#}\n"),
        (true, false) => format!("* {line}\n"),
        (false, true) => format!("{line}\n"),
        (false, false) => format!("  {line}\n"),
    }
}

/// The lines of an indented text, each with the names above it, by which it is found again.
fn keyed(text: &str) -> Vec<(Vec<String>, String)> {
    let mut above: Vec<String> = Vec::new();
    let mut lines = Vec::new();
    for line in text.lines() {
        let name = line.trim_start();
        let level = (line.len() - name.len()) / 4;
        above.truncate(level);
        let name = name.split_once(": ").map_or(name, |(name, _)| name);
        above.push(name.to_string());
        lines.push((above.clone(), line.to_string()));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_known_by_the_names_above_it() {
        let lines =
            keyed("{\n    a: {\n        x: 1,\n    },\n    b: {\n        x: 2,\n    },\n}\n");
        let key = |index: usize| lines[index].0.join("/");
        assert_eq!(lines[2].1, "        x: 1,");
        assert_eq!(key(2), "{/a/x");
        assert_eq!(key(5), "{/b/x");
    }
}
