//! Counting tests.

use std::fmt;

/// How many tests ended how.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Tally {
    /// Adds what one line of a test program's output says; most say nothing.
    pub(crate) fn read_line(&mut self, line: &str) {
        let line = without_colour(line);
        let Some((_, counts)) = line
            .trim()
            .strip_prefix("test result: ")
            .and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        for count in counts.split(';') {
            let mut words = count.split_whitespace();
            let (Some(number), Some(what)) = (words.next(), words.next()) else {
                continue;
            };
            let Ok(number) = number.parse::<u64>() else {
                continue;
            };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.skipped += number,
                _ => {}
            }
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }
}

/// The line less its terminal escape sequences.
fn without_colour(line: &str) -> String {
    let mut out = String::new();
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        if character == '\x1b' {
            // A sequence ends with the first letter.
            characters.by_ref().find(char::is_ascii_alphabetic);
        } else {
            out.push(character);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(lines: &str) -> Tally {
        let mut tally = Tally::default();
        lines.lines().for_each(|line| tally.read_line(line));
        tally
    }

    #[test]
    fn summaries_add_up() {
        let tally = tally(
            "running 3 tests\n\
             test a ... ok\n\
             test result: FAILED. 1 passed; 2 failed; 3 ignored; 0 measured; 7 filtered out; finished in 0.00s\n\
             \n\
             test result: ok. 10 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 1.25s\n",
        );
        assert_eq!(tally.to_string(), "11 passed, 2 failed, 4 skipped");
    }

    #[test]
    fn colour_does_not_hide_a_summary() {
        let tally =
            tally("test result: \x1b[32mok\x1b[0m. 2 passed; 0 failed; 0 ignored; 0 measured");
        assert_eq!(tally.passed, 2);
    }

    #[test]
    fn what_a_test_prints_is_not_a_summary() {
        assert_eq!(
            tally("test result: soon\n5 passed; 1 failed\nerror: 3 failed"),
            Tally::default()
        );
    }
}
