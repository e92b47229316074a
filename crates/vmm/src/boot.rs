//! What is in memory before the first instruction: kernel, initial file system, command line, and what the kernel's boot protocol and
//! the processor's long mode ask for (Documentation/arch/x86/boot.rst in the kernel's source).

use crate::memory::GuestRam;
use crate::memory::MemoryLayout;
use linux_loader::configurator::BootConfigurator;
use linux_loader::configurator::BootParams;
use linux_loader::configurator::linux::LinuxBootConfigurator;
use linux_loader::loader::BzImage;
use linux_loader::loader::Cmdline;
use linux_loader::loader::Elf;
use linux_loader::loader::KernelLoader;
use linux_loader::loader::KernelLoaderResult;
use linux_loader::loader::bootparam::boot_e820_entry;
use linux_loader::loader::bootparam::boot_params;
use linux_loader::loader::bootparam::setup_header;
use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Seek;
use std::ops::Range;
use std::path::Path;
use std::path::PathBuf;
use vm_memory::ByteValued;
use vm_memory::Bytes;
use vm_memory::GuestAddress;
use vm_memory::GuestMemoryError;

/// Addresses below 1 MiB.
pub(crate) mod layout {
    use std::ops::Range;

    /// The global descriptor table, its selectors and its last byte.
    pub(crate) const GDT: u64 = 0x500;
    pub(crate) const GDT_LIMIT: u16 = 31;
    pub(crate) const CODE_SELECTOR: u16 = 0x10;
    pub(crate) const DATA_SELECTOR: u16 = 0x18;
    /// The kernel's boot parameters.
    pub(crate) const BOOT_PARAMS: u64 = 0x7000;
    /// The top of the stack, which no kernel uses for more than a few words.
    pub(crate) const STACK: u64 = 0x8ff0;
    /// Three pages: one table of each level.
    pub(crate) const PAGE_TABLES: u64 = 0x9000;
    /// The command line.
    pub(crate) const COMMAND_LINE: u64 = 0x2_0000;
    /// Memory for whatever the kernel wants below 1 MiB.
    pub(crate) const LOW_MEMORY: Range<u64> = 0..0x9_fc00;
    /// Firmware's part, with the ACPI tables.
    pub(crate) const FIRMWARE: Range<u64> = 0xe_0000..0x10_0000;
    /// Where a kernel may begin.
    pub(crate) const HIGH_MEMORY: u64 = 0x10_0000;
}

/// What a command line can have at most, its zero byte included.
const COMMAND_LINE_MAX: usize = 2048;
const PAGE: u64 = 4096;
/// Kinds of ranges in the memory map.
const E820_RAM: u32 = 1;
const E820_RESERVED: u32 = 2;
/// What a bzImage says of its entry points: there is a 64-bit one.
const XLF_KERNEL_64: u16 = 1;
/// Where the 64-bit entry point of a bzImage is.
const BZIMAGE_ENTRY_64: u64 = 0x200;
const HEADER_MAGIC: u32 = u32::from_le_bytes(*b"HdrS");
const BOOT_FLAG: u16 = 0xaa55;
/// A boot loader without a number.
const LOADER_OTHER: u8 = 0xff;
/// No kernel takes an initial file system above that by a 32-bit address.
const INITRD_END_MAX: u64 = 0x8000_0000;
/// Entries of page tables: present and writable; a large page.
const TABLE: u64 = 3;
const LARGE_PAGE: u64 = 0x83;
const LARGE_PAGE_SIZE: u64 = 2 << 20;
/// A flat 64-bit code segment and a flat data segment.
const GDT_ENTRIES: [u64; 4] = [0, 0, 0x00af_9b00_0000_ffff, 0x00cf_9300_0000_ffff];

/// What to start.
#[derive(Clone, Debug)]
pub struct BootSource {
    /// A Linux kernel: ELF (`vmlinux`) or bzImage. The former starts sooner, as nothing is unpacked in the guest.
    pub kernel: PathBuf,
    /// The initial file system.
    pub initrd: Option<PathBuf>,
    /// The kernel's command line.
    pub cmdline: String,
}

/// A kernel that cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The kernel is of no kind that is known.
    #[error("{}: neither a 64-bit ELF nor a bzImage kernel", path.display())]
    NoKernel {
        /// The file.
        path: PathBuf,
    },
    /// The kernel cannot be loaded.
    #[error("{}: {source}", path.display())]
    Load {
        /// The file.
        path: PathBuf,
        /// Why.
        source: linux_loader::loader::Error,
    },
    /// The bzImage has no 64-bit entry point.
    #[error("{}: this bzImage has no 64-bit entry point", path.display())]
    No64Bit {
        /// The file.
        path: PathBuf,
    },
    /// The initial file system does not fit beside the kernel.
    #[error("{}: {size} bytes do not fit into the {room} bytes of memory above the kernel", path.display())]
    InitrdSize {
        /// The file.
        path: PathBuf,
        /// Its size.
        size: u64,
        /// What there is.
        room: u64,
    },
    /// The command line is malformed or too long.
    #[error("the command line of {len} bytes: {reason}")]
    CommandLine {
        /// Its length.
        len: usize,
        /// Why.
        reason: String,
    },
    /// The ACPI tables do not fit, or memory is too small for what must be in it.
    #[error("memory: {0}")]
    Memory(#[from] GuestMemoryError),
}

/// Where the first processor begins.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct EntryPoint {
    pub(crate) address: u64,
    pub(crate) boot_params: u64,
}

/// A piece of firmware's memory: an address, and what is there.
#[derive(Clone, Debug)]
pub(crate) struct FirmwareTables {
    /// Where the root of the tables is (RSDP).
    pub(crate) root: u64,
    pub(crate) pieces: Vec<(u64, Vec<u8>)>,
}

impl BootSource {
    /// Says whether the files are there: sooner than when they are loaded.
    pub(crate) fn check(&self) -> Result<(), BootError> {
        for path in std::iter::once(&self.kernel).chain(&self.initrd) {
            open(path)?;
        }
        Ok(())
    }

    /// Puts everything into memory.
    pub(crate) fn load(
        &self,
        ram: &GuestRam,
        memory: &MemoryLayout,
        firmware: &FirmwareTables,
    ) -> Result<EntryPoint, BootError> {
        let (kernel, address) = self.load_kernel(ram)?;
        let mut params = boot_params {
            hdr: kernel.setup_header.unwrap_or_else(|| setup_header {
                boot_flag: BOOT_FLAG,
                header: HEADER_MAGIC,
                kernel_alignment: 0x100_0000,
                ..setup_header::default()
            }),
            acpi_rsdp_addr: firmware.root,
            ..boot_params::default()
        };
        params.hdr.type_of_loader = LOADER_OTHER;
        params.hdr.cmd_line_ptr = truncated(layout::COMMAND_LINE);
        params.hdr.cmdline_size = truncated(self.load_command_line(ram)?);
        if let Some(path) = &self.initrd {
            let (start, size) = load_initrd(path, ram, kernel.kernel_end, memory)?;
            params.hdr.ramdisk_image = truncated(start);
            params.hdr.ramdisk_size = truncated(size);
        }
        for (slot, (range, kind)) in params.e820_table.iter_mut().zip(memory_map(memory)) {
            *slot = boot_e820_entry {
                addr: range.start,
                size: range.end - range.start,
                r#type: kind,
            };
            params.e820_entries += 1;
        }
        for (address, piece) in &firmware.pieces {
            ram.write_slice(piece, GuestAddress(*address))?;
        }
        write_long_mode_tables(ram)?;
        let params = BootParams::new(&params, GuestAddress(layout::BOOT_PARAMS));
        LinuxBootConfigurator::write_bootparams(&params, ram).map_err(|_| {
            GuestMemoryError::InvalidGuestAddress(GuestAddress(layout::BOOT_PARAMS))
        })?;
        Ok(EntryPoint {
            address,
            boot_params: layout::BOOT_PARAMS,
        })
    }

    /// Loads the kernel, and finds its 64-bit entry point.
    fn load_kernel(&self, ram: &GuestRam) -> Result<(KernelLoaderResult, u64), BootError> {
        let path = &self.kernel;
        let mut file = open(path)?;
        let load_error = |source| BootError::Load {
            path: path.clone(),
            source,
        };
        let low = Some(GuestAddress(layout::HIGH_MEMORY));
        match kind_of(&mut file).map_err(|source| file_error(path, source))? {
            Some(KernelKind::Elf) => {
                let kernel = Elf::load(ram, None, &mut file, low).map_err(load_error)?;
                let entry = kernel.kernel_load.0;
                Ok((kernel, entry))
            }
            Some(KernelKind::BzImage) => {
                let kernel = BzImage::load(ram, None, &mut file, low).map_err(load_error)?;
                let flags = kernel.setup_header.map_or(0, |header| header.xloadflags);
                if flags & XLF_KERNEL_64 == 0 {
                    return Err(BootError::No64Bit { path: path.clone() });
                }
                let entry = kernel.kernel_load.0 + BZIMAGE_ENTRY_64;
                Ok((kernel, entry))
            }
            None => Err(BootError::NoKernel { path: path.clone() }),
        }
    }

    /// Writes the command line, and gives its length.
    fn load_command_line(&self, ram: &GuestRam) -> Result<u64, BootError> {
        let error = |reason: String| BootError::CommandLine {
            len: self.cmdline.len(),
            reason,
        };
        let line = Cmdline::try_from(&self.cmdline, COMMAND_LINE_MAX)
            .map_err(|source| error(source.to_string()))?;
        linux_loader::loader::load_cmdline(ram, GuestAddress(layout::COMMAND_LINE), &line)
            .map_err(|source| error(source.to_string()))?;
        Ok(self.cmdline.len() as u64)
    }
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum KernelKind {
    Elf,
    BzImage,
}

/// What kind of kernel a file is, by its magic numbers.
fn kind_of(file: &mut (impl Read + Seek)) -> io::Result<Option<KernelKind>> {
    let mut head = Vec::new();
    file.rewind()?;
    file.take(0x206).read_to_end(&mut head)?;
    file.rewind()?;
    // The fifth byte of an ELF header is its class; 2 is 64-bit.
    if head.starts_with(b"\x7fELF\x02") {
        return Ok(Some(KernelKind::Elf));
    }
    Ok((head.get(0x202..) == Some(b"HdrS")).then_some(KernelKind::BzImage))
}

/// Puts the initial file system as high as it may be, clear of the kernel.
fn load_initrd(
    path: &Path,
    ram: &GuestRam,
    kernel_end: u64,
    memory: &MemoryLayout,
) -> Result<(u64, u64), BootError> {
    let mut file = open(path)?;
    let size = file
        .metadata()
        .map_err(|source| file_error(path, source))?
        .len();
    let end = memory.low().end.min(INITRD_END_MAX);
    // A bzImage unpacks itself above where it is loaded, and says how much that takes only in versions of its own; half is safe.
    let first = kernel_end.max(end / 2).next_multiple_of(PAGE);
    let room = end.saturating_sub(first);
    if size > room {
        return Err(BootError::InitrdSize {
            path: path.to_path_buf(),
            size,
            room,
        });
    }
    let start = (end - size) / PAGE * PAGE;
    let len = usize::try_from(size).unwrap_or(usize::MAX);
    ram.read_exact_volatile_from(GuestAddress(start), &mut file, len)?;
    Ok((start, size))
}

fn open(path: &Path) -> Result<File, BootError> {
    File::open(path).map_err(|source| file_error(path, source))
}

fn file_error(path: &Path, source: io::Error) -> BootError {
    BootError::File {
        path: path.to_path_buf(),
        source,
    }
}

/// What the kernel is told of memory: what it may use, and where firmware has something.
fn memory_map(memory: &MemoryLayout) -> impl Iterator<Item = (Range<u64>, u32)> {
    let low = [
        (layout::LOW_MEMORY, E820_RAM),
        (layout::FIRMWARE, E820_RESERVED),
        (layout::HIGH_MEMORY..memory.low().end, E820_RAM),
    ];
    let high = memory.high().map(|range| (range, E820_RAM));
    low.into_iter().chain(high)
}

/// Segments, and page tables that map the first gigabyte to itself.
fn write_long_mode_tables(ram: &GuestRam) -> Result<(), GuestMemoryError> {
    write_words(ram, layout::GDT, GDT_ENTRIES)?;
    let [top, second, third] = [0, 1, 2].map(|level| layout::PAGE_TABLES + level * PAGE);
    write_words(ram, top, [second | TABLE])?;
    write_words(ram, second, [third | TABLE])?;
    write_words(
        ram,
        third,
        (0..512).map(|page| (page * LARGE_PAGE_SIZE) | LARGE_PAGE),
    )
}

fn write_words(
    ram: &GuestRam,
    address: u64,
    words: impl IntoIterator<Item = u64>,
) -> Result<(), GuestMemoryError> {
    let bytes: Vec<u8> = words
        .into_iter()
        .flat_map(|word| word.as_slice().to_vec())
        .collect();
    ram.write_slice(&bytes, GuestAddress(address))
}

/// A value that is below 4 GiB by where it comes from.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the callers' values lie below INITRD_END_MAX"
)]
fn truncated(value: u64) -> u32 {
    debug_assert!(value <= INITRD_END_MAX);
    value as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn kernels_are_told_apart_by_their_magic_numbers() {
        let kind = |bytes: Vec<u8>| kind_of(&mut Cursor::new(bytes)).unwrap();
        assert_eq!(kind(b"\x7fELF\x02\x01".to_vec()), Some(KernelKind::Elf));
        assert_eq!(kind(b"\x7fELF\x01\x01".to_vec()), None, "32-bit");
        let mut image = vec![0; 0x400];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        assert_eq!(kind(image), Some(KernelKind::BzImage));
        assert_eq!(kind(Vec::new()), None);
    }

    #[test]
    fn the_memory_map_has_all_memory_but_firmwares_and_nothing_twice() {
        let memory = MemoryLayout::new(4096, &[]).unwrap();
        let map: Vec<_> = memory_map(&memory).collect();
        assert_eq!(
            map,
            [
                (0..0x9_fc00, E820_RAM),
                (0xe_0000..0x10_0000, E820_RESERVED),
                (0x10_0000..0xc000_0000, E820_RAM),
                (0x1_0000_0000..0x1_4000_0000, E820_RAM),
            ]
        );
    }

    #[test]
    fn the_first_gigabyte_is_mapped_to_itself() {
        let memory = MemoryLayout::new(64, &[]).unwrap();
        let ram = memory.allocate().unwrap();
        write_long_mode_tables(&ram).unwrap();
        let walk = |address: u64| {
            let entry = |table: u64, index: u64| -> u64 {
                ram.read_obj(GuestAddress((table & !0xfff) + index * 8))
                    .unwrap()
            };
            let second = entry(layout::PAGE_TABLES, address >> 39);
            let third = entry(second, (address >> 30) & 511);
            let page = entry(third, (address >> 21) & 511);
            (page & !0x1f_ffff, page & 0x81)
        };
        for address in [0, 0x20_0000, 0x100_0000, 0x3fe0_0000] {
            assert_eq!(walk(address), (address, 0x81), "{address:#x}");
        }
    }

    #[test]
    fn mistakes_name_the_file() {
        let source = BootSource {
            kernel: "Cargo.toml".into(),
            initrd: None,
            cmdline: String::new(),
        };
        let ram = MemoryLayout::new(64, &[]).unwrap().allocate().unwrap();
        assert_eq!(
            source.load_kernel(&ram).err().unwrap().to_string(),
            "Cargo.toml: neither a 64-bit ELF nor a bzImage kernel"
        );
        let long = BootSource {
            cmdline: "x".repeat(2048),
            ..source
        };
        let error = long.load_command_line(&ram).err().unwrap().to_string();
        assert!(
            error.starts_with("the command line of 2048 bytes: "),
            "{error}"
        );
    }

    #[test]
    fn an_initrd_goes_to_the_top_and_must_fit() {
        let memory = MemoryLayout::new(64, &[]).unwrap();
        let ram = memory.allocate().unwrap();
        let path = Path::new("Cargo.toml");
        let size = path.metadata().unwrap().len();
        let (start, len) = load_initrd(path, &ram, 0x200_0000, &memory).unwrap();
        assert_eq!((start, len), (0x3ff_f000, size));
        let error = load_initrd(path, &ram, 0x3ff_ffff, &memory).err().unwrap();
        assert!(
            error
                .to_string()
                .ends_with("into the 0 bytes of memory above the kernel"),
            "{error}"
        );
    }
}
