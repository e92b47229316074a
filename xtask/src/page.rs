//! `cargo xtask page`: the page for browsers, in a browser.
//!
//! The tests are those of `crates/rootplex/tests/page`; this sees to it that there is a Chromium with its driver.

use crate::commands::Options;
use crate::commands::Reported;
use crate::judge::Package;
use crate::process;
use crate::tally::Tally;
use crate::workspace::Workspace;
use anyhow::Result;

const CHROMIUM: Package = Package {
    name: "chromium-driver",
    program: "chromedriver",
};

/// How many browsers run at once.
const BROWSERS: &str = "--test-threads=2";

pub(crate) fn run(workspace: &Workspace, _: &Options) -> Result<()> {
    let mut tally = Tally::default();
    let mut notes = Vec::new();
    count(workspace, &mut tally, &mut notes)?;
    for note in notes {
        println!("{note}");
    }
    println!("{tally}");
    if tally.failed > 0 {
        return Err(Reported(tally.to_string()).into());
    }
    Ok(())
}

/// Runs the tests and counts them; without a browser, they are one that is skipped. Pictures are kept in `page-screenshots` in the
/// build folder.
pub(crate) fn count(
    workspace: &Workspace,
    tally: &mut Tally,
    notes: &mut Vec<String>,
) -> Result<()> {
    if let Err(error) = CHROMIUM.install() {
        tally.skipped += 1;
        notes.push(format!("skipped: the page in a browser: {error:#}"));
        return Ok(());
    }
    let failed_before = tally.failed;
    let status = process::watch(
        process::cargo()
            .current_dir(&workspace.root)
            .env(
                "PAGE_SCREENSHOTS",
                workspace.target.join("page-screenshots"),
            )
            .args([
                "test",
                "--package",
                "rootplex",
                "--test",
                "page",
                "--",
                BROWSERS,
            ]),
        |line| tally.read_line(line),
    )?;
    if !status.success() && tally.failed == failed_before {
        tally.failed += 1;
        notes.push(format!(
            "failed: the page in a browser, which ended with {status}; see above"
        ));
    }
    Ok(())
}
