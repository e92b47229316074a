//! Writes the archive that a Linux kernel unpacks as its first file system: `newc` of cpio(5), not compressed.

use anyhow::Context;
use anyhow::Result;
use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const DIRECTORY: u32 = 0o040_000;
const CHARACTER_DEVICE: u32 = 0o020_000;
const REGULAR_FILE: u32 = 0o100_000;
const SYMBOLIC_LINK: u32 = 0o120_000;

/// An archive under way. Paths are relative to the root, without a leading `/`; folders above an entry are made with it.
pub(super) struct Archive<W: Write> {
    out: W,
    written: u64,
    inode: u32,
    folders: BTreeSet<String>,
}

/// What an entry's header says beside its name and length.
struct Node {
    mode: u32,
    /// Major and minor number of a device.
    device: (u32, u32),
}

impl<W: Write> Archive<W> {
    /// An archive with what the first process needs before it mounts anything: the console, which the kernel opens for it, and `null`.
    pub(super) fn new(out: W) -> Result<Self> {
        let mut archive = Self {
            out,
            written: 0,
            inode: 0,
            folders: BTreeSet::new(),
        };
        for folder in ["proc", "sys", "tmp", "run"] {
            archive.folder(folder)?;
        }
        archive.folder("dev")?;
        for (path, device) in [("dev/console", (5, 1)), ("dev/null", (1, 3))] {
            let node = Node {
                mode: CHARACTER_DEVICE | 0o600,
                device,
            };
            archive.entry(path, &node, &[])?;
        }
        Ok(archive)
    }

    /// A folder and those above it, unless it is there.
    pub(super) fn folder(&mut self, path: &str) -> Result<()> {
        self.folders_above(path)?;
        if self.folders.insert(path.to_string()) {
            let node = Node {
                mode: DIRECTORY | 0o755,
                device: (0, 0),
            };
            self.entry(path, &node, &[])?;
        }
        Ok(())
    }

    /// A file of this content that may be executed.
    pub(super) fn program(&mut self, path: &str, content: &[u8]) -> Result<()> {
        self.regular(path, 0o755, content)
    }

    /// A symbolic link.
    pub(super) fn link(&mut self, path: &str, to: &str) -> Result<()> {
        self.folders_above(path)?;
        let node = Node {
            mode: SYMBOLIC_LINK | 0o777,
            device: (0, 0),
        };
        self.entry(path, &node, to.as_bytes())
    }

    /// A copy of a file, following links; it may be executed if the file may.
    pub(super) fn copy(&mut self, path: &str, from: &Path) -> Result<()> {
        let shown = || format!("{} cannot be read", from.display());
        let mode = from.metadata().with_context(shown)?.permissions().mode();
        let content = std::fs::read(from).with_context(shown)?;
        self.regular(path, mode & 0o777, &content)
    }

    /// Ends the archive.
    pub(super) fn finish(mut self) -> Result<()> {
        let node = Node {
            mode: 0,
            device: (0, 0),
        };
        self.entry("TRAILER!!!", &node, &[])?;
        self.out.flush()?;
        Ok(())
    }

    fn regular(&mut self, path: &str, permissions: u32, content: &[u8]) -> Result<()> {
        self.folders_above(path)?;
        let node = Node {
            mode: REGULAR_FILE | permissions,
            device: (0, 0),
        };
        self.entry(path, &node, content)
    }

    fn folders_above(&mut self, path: &str) -> Result<()> {
        match path.rsplit_once('/') {
            Some((above, _)) => self.folder(above),
            None => Ok(()),
        }
    }

    fn entry(&mut self, path: &str, node: &Node, content: &[u8]) -> Result<()> {
        self.inode += 1;
        let length = u32::try_from(content.len()).with_context(|| format!("{path} is too long"))?;
        let name_length = u32::try_from(path.len() + 1)?;
        let (major, minor) = node.device;
        // inode, mode, uid, gid, links, mtime, length, device of the file system, device of the node, name, checksum.
        let fields = [
            self.inode,
            node.mode,
            0,
            0,
            1,
            0,
            length,
            0,
            0,
            major,
            minor,
            name_length,
            0,
        ];
        let mut header = "070701".to_string();
        for field in fields {
            header.push_str(&format!("{field:08x}"));
        }
        self.bytes(header.as_bytes())?;
        self.bytes(path.as_bytes())?;
        self.bytes(&[0])?;
        self.pad()?;
        self.bytes(content)?;
        self.pad()
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Names and contents start at multiples of four.
    fn pad(&mut self) -> Result<()> {
        while !self.written.is_multiple_of(4) {
            self.bytes(&[0])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_come_before_what_they_hold_and_once() {
        let mut bytes = Vec::new();
        let mut archive = Archive::new(&mut bytes).unwrap();
        archive.program("a/b/first", b"12345").unwrap();
        archive.link("a/second", "b/first").unwrap();
        archive.finish().unwrap();
        let names: Vec<String> = entries(&bytes).into_iter().map(|entry| entry.0).collect();
        assert_eq!(
            names,
            [
                "proc",
                "sys",
                "tmp",
                "run",
                "dev",
                "dev/console",
                "dev/null",
                "a",
                "a/b",
                "a/b/first",
                "a/second",
                "TRAILER!!!",
            ]
        );
    }

    #[test]
    fn an_entry_has_its_type_and_content() {
        let mut bytes = Vec::new();
        let mut archive = Archive::new(&mut bytes).unwrap();
        archive.program("init", b"12345").unwrap();
        archive.link("link", "init").unwrap();
        archive.finish().unwrap();
        let entries = entries(&bytes);
        let entry = |name: &str| entries.iter().find(|entry| entry.0 == name).unwrap();
        assert_eq!(entry("init").1, 0o100_755);
        assert_eq!(entry("init").2, b"12345");
        assert_eq!(entry("link").1, 0o120_777);
        assert_eq!(entry("link").2, b"init");
        assert_eq!(entry("dev/console").1, 0o020_600);
        assert_eq!(entry("proc").1, 0o040_755);
    }

    /// Name, mode and content of each entry.
    fn entries(bytes: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut entries = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            assert_eq!(&bytes[at..at + 6], b"070701");
            let field = |index: usize| {
                let from = at + 6 + 8 * index;
                let digits = std::str::from_utf8(&bytes[from..from + 8]).unwrap();
                u32::from_str_radix(digits, 16).unwrap()
            };
            let (mode, length, name_length) = (field(1), field(6) as usize, field(11) as usize);
            let name = at + 110;
            let content = (name + name_length).next_multiple_of(4);
            entries.push((
                String::from_utf8(bytes[name..name + name_length - 1].to_vec()).unwrap(),
                mode,
                bytes[content..content + length].to_vec(),
            ));
            at = (content + length).next_multiple_of(4);
        }
        entries
    }
}
