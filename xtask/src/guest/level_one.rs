//! Level 1: a Linux machine under QEMU, emulated with AMD's virtual machine extensions, in which KVM runs guests (level 2).
//!
//! Hardware KVM is often missing, or opens and never runs a guest: in containers and in rented machines. This needs none.
//!
//! The machine has one job: its first process loads KVM, runs one command line and powers off. Its first serial port is the
//! kernel's console, its second carries what the command prints, and at last a line with the exit code.

use super::cpio::Archive;
use super::debian::Debian;
use super::debian::Kernel;
use super::job::End;
use super::job::Job;
use super::job::Watched;
use super::kernel;
use super::userland;
use anyhow::Context;
use anyhow::Result;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;

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
ln -s /proc/self/fd/0 /dev/stdin
for module in MODULES; do insmod /modules/$module.ko; done
stty -F /dev/ttyS1 raw -echo
exec </dev/null >/dev/ttyS1 2>&1
cd /
sh /command
echo \"EXIT_MARK$?\"
poweroff -f
";

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
    pub(super) fn run(&self, job: &Job<'_>, mut line: impl FnMut(&str)) -> Result<End> {
        std::fs::create_dir_all(job.folder)?;
        let initrd = job.folder.join("level-1.cpio");
        self.write_initrd(&initrd, job)?;
        let machine = self.boot(&initrd, &console(job.folder))?;
        let mut code = None;
        let end = machine.watch(job.timeout, |text| {
            match text.strip_prefix(EXIT_MARK).map(str::parse) {
                Some(Ok(number)) => code = Some(number),
                _ => line(text),
            }
        })?;
        // It is as large as a kernel, and made anew each time.
        std::fs::remove_file(initrd)?;
        Ok(match (code, end) {
            (Some(code), _) => End::Exit(code),
            (None, End::Timeout) => End::Timeout,
            (None, _) => End::Died,
        })
    }

    fn write_initrd(&self, path: &Path, job: &Job<'_>) -> Result<()> {
        let mut archive = Archive::new(BufWriter::new(File::create(path)?))?;
        userland::add_programs(self.debian, &mut archive)?;
        for module in MODULES {
            let content = kernel::module(self.debian, self.kernel, module)?;
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

    fn boot(&self, initrd: &Path, console: &Path) -> Result<Watched> {
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
        Ok(Watched(child))
    }
}

/// Where the level-1 kernel's console goes.
fn console(folder: &Path) -> PathBuf {
    folder.join("level-1.console")
}

/// The end of what the level-1 kernel printed.
pub(super) fn console_tail(folder: &Path) -> String {
    const LINES: usize = 30;
    let bytes = std::fs::read(console(folder)).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let mut lines: Vec<&str> = text.lines().rev().take(LINES).collect();
    lines.push("");
    lines.reverse();
    lines.join("\n  ")
}
