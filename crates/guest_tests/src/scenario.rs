//! A scenario: a machine, what is done to it, and what both sides must then show.

use crate::guest::Guest;
use crate::host::Connected;
use crate::host::GuestImage;
use crate::host::Host;
use crate::report;
use crate::report::progress;
use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use anyhow::ensure;
use pcie_topology::Topology;
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::sync::mpsc::RecvTimeoutError;
use std::thread;
use std::time::Duration;
use std::time::Instant;
use vmm::Machine;

/// The guest comes up in 9 to 15 seconds in an emulated machine.
pub(crate) const BOOT_TIMEOUT: Duration = Duration::from_secs(90);

/// Warnings and worse.
const WARNING: u8 = 4;

/// Warnings that a guest prints whatever its hierarchy.
const USUAL_WARNINGS: &[&str] = &[
    "amd_pstate: the _CPC object is not present",
    // 6.1 asks for configuration space before it reads from ACPI where ECAM is, and there are no ports 0xcf8 and 0xcfc.
    "PCI: Fatal: No config space access function found",
    // What an emulated machine is: slow, with a time stamp counter that shows it.
    "clocksource: ",
    "hrtimer: interrupt took",
    "Unstable clock detected",
];

/// Where a machine is saved.
const STATE: &str = "machine.state";

/// What the guest's kernel said last, for a report.
const LAST_MESSAGES: &str = "dmesg | tail -n 30";

/// One scenario.
pub(crate) struct Scenario {
    /// What it goes by.
    pub(crate) name: &'static str,
    /// What it shows.
    pub(crate) summary: &'static str,
    /// Processors of the guest.
    pub(crate) cpus: u32,
    /// What it may take, from the machine's making to its end.
    pub(crate) timeout_s: u64,
    /// Whether `cargo xtask test` runs it.
    pub(crate) quick: bool,
    /// The hierarchy that the guest boots with.
    pub(crate) topology: fn() -> Result<Topology>,
    /// What is done, and what must then be so.
    pub(crate) steps: fn(&mut Sides) -> Result<()>,
    /// What is then done with the machine after it was stopped, saved, and restored in another process.
    pub(crate) restored: Option<fn(&mut Sides) -> Result<()>>,
}

/// Both sides of a running machine.
pub(crate) struct Sides {
    /// The operator's.
    pub(crate) host: Host,
    /// The guest's.
    pub(crate) guest: Guest,
    /// The port that is looked at when something fails.
    port: Option<String>,
}

impl Sides {
    /// Says what comes next, and at which port.
    pub(crate) fn step(&mut self, port: &str, text: &str) {
        self.port = Some(port.to_string());
        progress(&format!("{port}: {text}"));
    }

    /// What inspection shows of a port's slot.
    ///
    /// # Errors
    ///
    /// - the port has none.
    pub(crate) fn slot(&self, port: &str) -> Result<Value> {
        self.host
            .inspect_port(port)?
            .pointer("/cfg_space/capabilities/pci-express/slot")
            .cloned()
            .with_context(|| format!("port '{port}' has no slot"))
    }

    /// Waits until something is so for the host.
    ///
    /// # Errors
    ///
    /// - it is not in time.
    #[expect(
        clippy::disallowed_methods,
        reason = "a guest takes the time that it takes, and tells the host nothing"
    )]
    pub(crate) fn wait_until(
        &mut self,
        what: &str,
        within: Duration,
        condition: impl Fn(&Self) -> Result<bool>,
    ) -> Result<()> {
        let begin = Instant::now();
        while !condition(self)? {
            ensure!(
                begin.elapsed() < within,
                "not so within {} s: {what}",
                within.as_secs()
            );
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Waits until the guest has read or written on its disk for a while.
    ///
    /// # Errors
    ///
    /// - it does not.
    pub(crate) fn wait_for_io(&mut self, port: &str) -> Result<()> {
        self.step(port, "the load begins");
        // Reads and writes that were completed are the first and fifth number.
        let completed = "$(awk '{print $1 + $5}' /sys/block/nvme0n1/stat)";
        self.guest.run(&format!("echo {completed} >before"))?;
        self.guest
            .wait_for(&format!("[ {completed} -gt $(($(cat before) + 8)) ]"), 30)
    }

    /// The guest's kernel has not complained since the last time.
    ///
    /// # Errors
    ///
    /// - it has.
    pub(crate) fn no_complaints(&mut self) -> Result<()> {
        self.no_complaints_but(&[])
    }

    /// The guest's kernel has not complained since the last time, but in these words.
    ///
    /// # Errors
    ///
    /// - it has.
    pub(crate) fn no_complaints_but(&mut self, expected: &[&str]) -> Result<()> {
        let complaints: Vec<String> = self
            .guest
            .messages(WARNING)?
            .into_iter()
            .filter(|text| {
                let mut usual = USUAL_WARNINGS.iter().chain(expected);
                !usual.any(|usual| text.contains(usual))
            })
            .collect();
        ensure!(
            complaints.is_empty(),
            "the guest's kernel warns:\n{}",
            complaints.join("\n")
        );
        Ok(())
    }
}

impl Scenario {
    /// A line for `cargo xtask guest`.
    pub(crate) fn listed(&self) -> String {
        serde_json::json!({
            "name": self.name,
            "summary": self.summary,
            "quick": self.quick,
            "timeout_s": self.timeout_s,
        })
        .to_string()
    }

    /// Boots the guest and takes the steps.
    ///
    /// # Errors
    ///
    /// - a step fails, or takes too long.
    pub(crate) fn run(&self, image: &GuestImage) -> Result<()> {
        progress("the guest boots");
        let machine = Machine::new(image.config((self.topology)()?, self.cpus))?;
        let machine = run(machine, self.timeout(), |sides| {
            sides.guest.ready(BOOT_TIMEOUT)?;
            (self.steps)(sides)
        })?;
        if self.restored.is_none() {
            return Ok(());
        }
        progress("the machine is saved");
        machine.handle().save(Path::new(STATE))?;
        // The disks are locked by whoever has them open.
        drop(machine);
        let status = Command::new(std::env::current_exe()?)
            .args(["restored", self.name])
            .status()?;
        ensure!(status.success(), "after restoring: {status}");
        Ok(())
    }

    /// Restores the machine that another process saved, and goes on with it.
    ///
    /// # Errors
    ///
    /// - a step fails, or takes too long, or nothing is to be done.
    pub(crate) fn run_restored(&self) -> Result<()> {
        let steps = self
            .restored
            .with_context(|| format!("'{}' is not restored", self.name))?;
        progress("the machine is restored in another process");
        let machine = Machine::restore(Path::new(STATE))?;
        run(machine, self.timeout(), steps)?;
        Ok(())
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_s)
    }
}

/// Runs a machine while `steps` are taken, and gives it back.
///
/// # Errors
///
/// - a step fails, or all take too long, or the machine cannot go on. What both sides looked like is in the message.
pub(crate) fn run(
    machine: Machine,
    timeout: Duration,
    steps: impl FnOnce(&mut Sides) -> Result<()> + Send,
) -> Result<Machine> {
    let (machine, host, channel) = Connected::new(machine)?.split();
    let mut sides = Sides {
        host: host.clone(),
        guest: Guest::new(channel)?,
        port: None,
    };
    let (done, ended) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn({
            let host = host.clone();
            move || {
                let result = steps(&mut sides);
                let result = result.map_err(|error| {
                    let said = match sides.guest.try_run(LAST_MESSAGES) {
                        Ok(ended) => ended.output,
                        Err(error) => format!("{error:#}\n"),
                    };
                    let report = report::failure(&error, &sides.host, sides.port.as_deref());
                    format!("{report}\nthe guest's kernel said last:\n{said}")
                });
                // A watch that has given up has no use for it.
                let _ = done.send(result);
                host.stop();
            }
        });
        scope.spawn(move || watch(&ended, timeout, &host));
        Connected::run(machine)
    })
    .context("the machine cannot go on")
}

/// Ends the process when the steps do not end, or failed.
fn watch(ended: &mpsc::Receiver<Result<(), String>>, timeout: Duration, host: &Host) {
    let why = match ended.recv_timeout(timeout) {
        Ok(Ok(())) => return,
        Ok(Err(why)) => why,
        Err(RecvTimeoutError::Timeout) => {
            let error = anyhow::anyhow!("no end within {} s", timeout.as_secs());
            report::failure(&error, host, None)
        }
        Err(RecvTimeoutError::Disconnected) => "a step panicked".to_string(),
    };
    eprintln!("{why}");
    // Steps that hang, and a machine that runs, cannot be waited for.
    std::process::exit(1);
}

/// A value that both sides must agree on.
///
/// # Errors
///
/// - they do not.
pub(crate) fn agree<T: PartialEq + std::fmt::Debug>(what: &str, host: &T, guest: &T) -> Result<()> {
    if host != guest {
        bail!("{what}: the host has {host:x?}, the guest {guest:x?}");
    }
    Ok(())
}
