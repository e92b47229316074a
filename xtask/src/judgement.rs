//! The verdict of an outside judge, which `cargo xtask test` counts beside the tests.

/// The verdict on one thing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Judgement {
    pub(crate) name: String,
    pub(crate) outcome: Outcome,
}

/// How it went; the text says why, in one line or as lines to show.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

/// Prints all of them, and says how many failed.
pub(crate) fn print(judgements: &[Judgement]) -> usize {
    let mut failed = 0;
    for Judgement { name, outcome } in judgements {
        match outcome {
            Outcome::Passed => println!("ok      {name}"),
            Outcome::Skipped(why) => println!("skipped {name}: {why}"),
            Outcome::Failed(why) => {
                failed += 1;
                println!("FAILED  {name}: {why}");
            }
        }
    }
    failed
}
