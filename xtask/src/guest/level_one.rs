//! Level 1: a Linux machine under QEMU, emulated with AMD's virtual machine extensions, in which KVM runs guests (level 2).
//!
//! Hardware KVM is often missing, or opens and never runs a guest: in containers and in rented machines. This needs none.
//!
//! The machine has one job: its first process loads KVM, runs one command line and powers off. Its first serial port is the
//! kernel's console, its second carries what the command prints, and at last a line with the exit code.

use super::cpio::Archive;
use super::debian::Debian;
use super::debian::Kernel;
use super::kernel;
use anyhow::Context;
use anyhow::Result;
use std::fs::File;
use std::io::BufRead;
use std::io::BufReader;
use std::io::BufWriter;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::ChildStdout;
use std::process::Stdio;
use std::sync::mpsc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;
use std::time::Instant;

/// What a machine has: the guests' memory comes out of it.
const MEMORY_MIB: u32 = 3072;

/// KVM of the level-1 kernel, in the order in which they depend on each other.
const MODULES: &[&str] = &["irqbypass", "kvm", "kvm-amd"];

/// Precedes the exit code.
const EXIT_MARK: &str = "level 1: exit ";

/// The first process. Output of the command must reach the port byte by byte as it is, hence `raw`.
const INIT: &str = "#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
for module in MODULES; do insmod /modules/$module.ko; done
stty -F /dev/ttyS1 raw -echo
exec </dev/null >/dev/ttyS1 2>&1
cd /
sh /command
echo \"EXIT_MARK$?\"
poweroff -f
";

/// A file for a machine.
#[derive(Debug, Clone)]
pub(super) struct HostFile {
    pub(super) path: PathBuf,
    /// Its path in the machine, without a leading `/`.
    pub(super) name: String,
}

/// What a machine does.
pub(super) struct Job<'a> {
    pub(super) command: &'a str,
    pub(super) files: &'a [HostFile],
    pub(super) timeout: Duration,
    /// For the machine's files, which stay there afterwards.
    pub(super) folder: &'a Path,
}

/// How it ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    Exit(i32),
    /// The machine stopped before the command did.
    Died,
    Timeout,
}

/// Boots machines.
pub(super) struct LevelOne<'a> {
    debian: &'a Debian,
    kernel: &'a Kernel,
    vmlinux: PathBuf,
}

impl<'a> LevelOne<'a> {
    /// Machines with this kernel.
    pub(super) fn new(debian: &'a Debian, kernel: &'a Kernel, cache: &Path) -> Result<Self> {
        Ok(Self {
            debian,
            kernel,
            vmlinux: kernel::vmlinux(debian, kernel, cache)?,
        })
    }

    /// Boots a machine and has it do the job, handing over each line that the command prints.
    #[expect(
        clippy::disallowed_methods,
        reason = "a machine that hangs is ended by the clock on the wall"
    )]
    pub(super) fn run(&self, job: &Job<'_>, mut line: impl FnMut(&str)) -> Result<End> {
        std::fs::create_dir_all(job.folder)?;
        let initrd = job.folder.join("level-1.cpio");
        self.write_initrd(&initrd, job)?;
        let mut machine = self.boot(&initrd, &console(job.folder))?;
        let stdout = machine
            .0
            .stdout
            .take()
            .context("QEMU's output is not a pipe")?;
        let lines = lines_of(stdout);
        let deadline = Instant::now() + job.timeout;
        loop {
            match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(text) => match text.strip_prefix(EXIT_MARK).map(str::parse) {
                    Some(Ok(code)) => return Ok(End::Exit(code)),
                    _ => line(&text),
                },
                Err(RecvTimeoutError::Timeout) => return Ok(End::Timeout),
                Err(RecvTimeoutError::Disconnected) => return Ok(End::Died),
            }
        }
    }

    fn write_initrd(&self, path: &Path, job: &Job<'_>) -> Result<()> {
        let mut archive = Archive::new(BufWriter::new(File::create(path)?))?;
        archive.copy("bin/busybox", &self.debian.file("usr/bin/busybox"))?;
        for module in MODULES {
            let file = self.debian.module(self.kernel, module)?;
            let mut content = std::fs::read(&file)?;
            if file.extension().is_some_and(|extension| extension == "xz") {
                content = kernel::filter(self.debian.busybox("xz").arg("-dc"), &content)?;
            }
            archive.program(&format!("modules/{module}.ko"), &content)?;
        }
        for file in job.files {
            archive.copy(&file.name, &file.path)?;
        }
        archive.program("command", job.command.as_bytes())?;
        let init = INIT
            .replace("MODULES", &MODULES.join(" "))
            .replace("EXIT_MARK", EXIT_MARK);
        archive.program("init", init.as_bytes())?;
        archive.finish()
    }

    fn boot(&self, initrd: &Path, console: &Path) -> Result<Machine> {
        let child = self
            .debian
            .program("qemu-system-x86_64")
            .env(
                "QEMU_MODULE_DIR",
                self.debian.file("usr/lib/x86_64-linux-gnu/qemu"),
            )
            .arg("-L")
            .arg(self.debian.file("usr/share/seabios"))
            .arg("-L")
            .arg(self.debian.file("usr/share/qemu"))
            .args(["-nodefaults", "-no-user-config", "-nographic", "-no-reboot"])
            .args(["-machine", "q35", "-accel", "tcg,thread=multi"])
            // One processor is as fast as two, and its time stamp counter is stable.
            .args(["-cpu", "max,+svm", "-smp", "1"])
            .args(["-m", &MEMORY_MIB.to_string()])
            .arg("-serial")
            .arg(format!("file:{}", console.display()))
            .args(["-serial", "stdio"])
            .arg("-kernel")
            .arg(&self.vmlinux)
            .arg("-initrd")
            .arg(initrd)
            .args(["-append", "console=ttyS0 quiet mitigations=off panic=-1"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("QEMU cannot be started")?;
        Ok(Machine(child))
    }
}

/// Where the level-1 kernel's console goes.
pub(super) fn console(folder: &Path) -> PathBuf {
    folder.join("level-1.console")
}

/// A running QEMU, ended when this goes.
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        // Either it has ended already, or nobody waits for it any more.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn lines_of(stdout: ChildStdout) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for bytes in BufReader::new(stdout).split(b'\n') {
            let Ok(bytes) = bytes else { break };
            let text = String::from_utf8_lossy(&bytes);
            if sender
                .send(text.trim_end_matches('\r').to_string())
                .is_err()
            {
                break;
            }
        }
    });
    receiver
}
