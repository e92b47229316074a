//! What a guest (level 2) finds in its first file system: busybox, lspci and setpci, modules, and a first process. Level 1 has the
//! programs, too.

use super::cpio::Archive;
use super::debian::Debian;
use super::debian::KERNELS;
use super::kernel;
use anyhow::Result;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufWriter;
use std::io::Write;
use std::path::Path;

/// Programs that link dynamically.
const PROGRAMS: &[&str] = &["lspci", "setpci"];

/// Modules that a scenario loads, of each kernel that a guest may run: `/lib/modules/RELEASE/NAME.ko`.
const MODULES: &[&str] = &["cxl_acpi"];

/// The first process unless another is given: shows what the guest sees, and ends it.
const SHOW: &str = "#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
uname -r
lspci -tv
lspci -vvv
poweroff -f
";

/// Adds busybox, lspci and setpci, with what they need.
pub(super) fn add_programs<W: Write>(debian: &Debian, archive: &mut Archive<W>) -> Result<()> {
    archive.copy("bin/busybox", &debian.file("usr/bin/busybox"))?;
    // The loader's own path, which every program names.
    archive.link("lib64", "usr/lib/x86_64-linux-gnu")?;
    let mut libraries = BTreeSet::new();
    for program in PROGRAMS {
        libraries.extend(debian.libraries(program)?);
        archive.copy(
            &format!("bin/{program}"),
            &debian.file(&format!("usr/bin/{program}")),
        )?;
    }
    for library in libraries {
        archive.copy(&library, &debian.file(&library))?;
    }
    Ok(())
}

/// Writes the file system, with `init` as its first process.
pub(super) fn write(debian: &Debian, init: Option<&Path>, to: &Path) -> Result<()> {
    let mut archive = Archive::new(BufWriter::new(File::create(to)?))?;
    add_programs(debian, &mut archive)?;
    for kernel in KERNELS {
        let release = debian.release(kernel)?;
        for module in MODULES {
            let content = kernel::module(debian, kernel, module)?;
            archive.program(&format!("lib/modules/{release}/{module}.ko"), &content)?;
        }
    }
    match init {
        Some(init) => archive.copy("init", init)?,
        None => archive.program("init", SHOW.as_bytes())?,
    }
    archive.finish()
}
