//! `cargo xtask test`: everything a contributor needs to know about a change.

use crate::commands::Options;
use crate::commands::Reported;
use crate::guest;
use crate::judge;
use crate::lspci;
use crate::page;
use crate::process;
use crate::promtool;
use crate::schema;
use crate::tables;
use crate::tally::Tally;
use crate::workspace::Workspace;
use anyhow::Result;

pub(crate) fn run(workspace: &Workspace, _: &Options) -> Result<()> {
    let mut tally = Tally::default();
    let mut notes = Vec::new();
    let status = process::watch(
        process::cargo().current_dir(&workspace.root).args([
            "test",
            "--workspace",
            "--no-fail-fast",
        ]),
        |line| tally.read_line(line),
    )?;
    if !status.success() && tally.failed == 0 {
        // It did not build, or a test program died before its summary.
        tally.failed += 1;
        notes.push(format!(
            "failed: `cargo test` itself, which ended with {status}; see above"
        ));
    }
    judge::count(lspci::judge(workspace, false)?, &mut tally, &mut notes);
    judge::count(tables::judge(workspace)?, &mut tally, &mut notes);
    judge::count(promtool::judge(workspace)?, &mut tally, &mut notes);
    judge::count(vec![schema::judge(workspace)?], &mut tally, &mut notes);
    judge::count(guest::judge_quickly(workspace)?, &mut tally, &mut notes);
    page::count(workspace, &mut tally, &mut notes)?;
    println!();
    for note in notes {
        println!("{note}");
    }
    println!("{tally}");
    if tally.failed > 0 {
        return Err(Reported(tally.to_string()).into());
    }
    Ok(())
}
