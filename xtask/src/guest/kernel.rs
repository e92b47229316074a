//! The ELF file inside a compressed kernel.
//!
//! A monitor that boots the ELF spares the guest the 4 to 12 seconds in which it would unpack itself.

use super::debian::Debian;
use super::debian::Kernel;
use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;

// The setup header of the x86 boot protocol (Linux, Documentation/arch/x86/boot.rst).
const SETUP_SECTORS: usize = 0x1f1;
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;
const SECTOR: usize = 512;
/// The kernel's build appends the unpacked length to the payload.
const LENGTH_SUFFIX: usize = 4;

const LZ4_LEGACY: [u8; 4] = [0x02, 0x21, 0x4c, 0x18];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const ELF: [u8; 4] = *b"\x7fELF";

/// The kernel as an ELF file in `folder`, unpacked unless it is there.
pub(super) fn vmlinux(debian: &Debian, kernel: &Kernel, folder: &Path) -> Result<PathBuf> {
    let compressed = debian.vmlinuz(kernel)?;
    let file = folder.join(format!("vmlinux-{}", kernel.name));
    // The name of the compressed one holds its version.
    let stamp = folder.join(format!("vmlinux-{}.of", kernel.name));
    let version = compressed.display().to_string();
    if file.exists() && std::fs::read_to_string(&stamp).is_ok_and(|of| of == version) {
        return Ok(file);
    }
    let image = std::fs::read(&compressed).with_context(|| version.clone())?;
    let elf = elf(debian, &image).with_context(|| version.clone())?;
    std::fs::write(&file, elf)?;
    std::fs::write(stamp, version)?;
    Ok(file)
}

fn elf(debian: &Debian, image: &[u8]) -> Result<Vec<u8>> {
    let payload = payload(image).context("not a compressed kernel")?;
    let program = match payload.first_chunk::<4>() {
        Some(&LZ4_LEGACY) => "lz4",
        Some(&ZSTD) => "zstd",
        magic => bail!("unknown compression: {magic:02x?}"),
    };
    let elf = filter(debian.program(program).arg("-dc"), payload)?;
    if elf.first_chunk() != Some(&ELF) {
        bail!("the payload is not an ELF file");
    }
    Ok(elf)
}

fn payload(image: &[u8]) -> Option<&[u8]> {
    let sectors = usize::from(*image.get(SETUP_SECTORS)?);
    let start = (sectors + 1) * SECTOR + word(image, PAYLOAD_OFFSET)?;
    let length = word(image, PAYLOAD_LENGTH)?.checked_sub(LENGTH_SUFFIX)?;
    image.get(start..start.checked_add(length)?)
}

fn word(image: &[u8], offset: usize) -> Option<usize> {
    let bytes = image.get(offset..)?.first_chunk()?;
    usize::try_from(u32::from_le_bytes(*bytes)).ok()
}

/// One of a kernel's modules, unpacked: busybox loads no compressed ones.
pub(super) fn module(debian: &Debian, kernel: &Kernel, name: &str) -> Result<Vec<u8>> {
    let file = debian.module(kernel, name)?;
    let content = std::fs::read(&file).with_context(|| file.display().to_string())?;
    match file.extension().is_some_and(|extension| extension == "xz") {
        true => filter(debian.busybox("xz").arg("-dc"), &content),
        false => Ok(content),
    }
}

/// What a program makes of its input.
fn filter(command: &mut Command, input: &[u8]) -> Result<Vec<u8>> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("the program that unpacks cannot be started")?;
    let mut stdin = child.stdin.take().context("the input is not a pipe")?;
    let output = std::thread::scope(|scope| {
        let writer = scope.spawn(move || stdin.write_all(input));
        let output = child.wait_with_output();
        // A program that stops reading says why in its exit code.
        let _ = writer.join();
        output
    })?;
    if !output.status.success() {
        bail!("unpacking ended with {}", output.status);
    }
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_is_where_the_header_says() {
        let mut image = vec![0; 4 * SECTOR];
        image[SETUP_SECTORS] = 1;
        image[PAYLOAD_OFFSET..PAYLOAD_OFFSET + 4].copy_from_slice(&16u32.to_le_bytes());
        image[PAYLOAD_LENGTH..PAYLOAD_LENGTH + 4].copy_from_slice(&9u32.to_le_bytes());
        image[2 * SECTOR + 16..2 * SECTOR + 21].copy_from_slice(b"hello");
        assert_eq!(payload(&image), Some(&b"hello"[..]));
    }

    #[test]
    fn a_header_that_points_outside_is_refused() {
        let mut image = vec![0; 4 * SECTOR];
        image[PAYLOAD_OFFSET..PAYLOAD_OFFSET + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        image[PAYLOAD_LENGTH..PAYLOAD_LENGTH + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(payload(&image), None);
        assert_eq!(payload(&[]), None);
    }
}
