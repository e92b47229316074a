//! How enumeration reaches config space.

use pci_spec::Bdf;
use pci_spec::caps::EXT_CAP_END;
use reg_table::BlockRegister;

/// The size of a config access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Width {
    /// One byte.
    Byte,
    /// Two bytes.
    Word,
    /// Four bytes.
    Dword,
}

impl Width {
    /// The size in bytes: 1, 2 or 4.
    pub const fn bytes(self) -> u16 {
        match self {
            Width::Byte => 1,
            Width::Word => 2,
            Width::Dword => 4,
        }
    }

    /// The bits of a value of this size, which is also what a read of an absent function returns.
    pub const fn mask(self) -> u32 {
        match self {
            Width::Byte => 0xff,
            Width::Word => 0xffff,
            Width::Dword => 0xffff_ffff,
        }
    }
}

/// Config accesses to the functions of one segment.
///
/// The caller (this crate) aligns `offset` to `width`, keeps it below 4,096, and stays within the host bridge's
/// buses. The implementor routes the access by the bridges' bus numbers as they are at that moment, answers reads
/// of absent functions with all ones, and delivers a one- or two-byte write as just those bytes: merging it into
/// a dword would clear RW1C bits in the neighbouring register.
pub trait ConfigAccess {
    /// Reads `width` at `offset`; the value is in the low bits.
    fn read(&mut self, bdf: Bdf, offset: u16, width: Width) -> u32;

    /// Writes the low bits of `value` as `width` at `offset`.
    fn write(&mut self, bdf: Bdf, offset: u16, width: Width, value: u32);

    /// Lets about 10 milliseconds pass for a function that answered with Request Retry Status.
    ///
    /// Called at most [`Options::ready_attempts`](crate::Options::ready_attempts) times for one device. Does nothing
    /// if not provided, which is right where config accesses complete synchronously.
    fn wait(&mut self) {}
}

impl<A: ConfigAccess + ?Sized> ConfigAccess for &mut A {
    fn read(&mut self, bdf: Bdf, offset: u16, width: Width) -> u32 {
        (**self).read(bdf, offset, width)
    }

    fn write(&mut self, bdf: Bdf, offset: u16, width: Width, value: u32) {
        (**self).write(bdf, offset, width, value);
    }

    fn wait(&mut self) {
        (**self).wait();
    }
}

impl<A: ConfigAccess + ?Sized> ConfigAccess for Box<A> {
    fn read(&mut self, bdf: Bdf, offset: u16, width: Width) -> u32 {
        (**self).read(bdf, offset, width)
    }

    fn write(&mut self, bdf: Bdf, offset: u16, width: Width, value: u32) {
        (**self).write(bdf, offset, width, value);
    }

    fn wait(&mut self) {
        (**self).wait();
    }
}

/// The config offset of a register of the header.
pub(crate) fn header<R: BlockRegister>(register: R) -> u16 {
    register.register().offset
}

/// The config offset of a register of the capability at `capability`.
pub(crate) fn within<R: BlockRegister>(capability: u16, register: R) -> u16 {
    capability + register.register().offset
}

/// One function's config space, in the sizes its registers have.
pub(crate) struct Config<'a> {
    access: &'a mut dyn ConfigAccess,
    pub(crate) bdf: Bdf,
}

impl<'a> Config<'a> {
    pub(crate) fn new(access: &'a mut dyn ConfigAccess, bdf: Bdf) -> Self {
        Self { access, bdf }
    }

    fn read(&mut self, offset: u16, width: Width) -> u32 {
        if reachable(offset, width) {
            self.access.read(self.bdf, offset, width)
        } else {
            width.mask()
        }
    }

    fn write(&mut self, offset: u16, width: Width, value: u32) {
        if reachable(offset, width) {
            self.access.write(self.bdf, offset, width, value);
        }
    }

    pub(crate) fn read_u8(&mut self, offset: u16) -> u8 {
        (self.read(offset, Width::Byte) & 0xff) as u8
    }

    pub(crate) fn read_u16(&mut self, offset: u16) -> u16 {
        (self.read(offset, Width::Word) & 0xffff) as u16
    }

    pub(crate) fn read_u32(&mut self, offset: u16) -> u32 {
        self.read(offset, Width::Dword)
    }

    pub(crate) fn write_u8(&mut self, offset: u16, value: u8) {
        self.write(offset, Width::Byte, value.into());
    }

    pub(crate) fn write_u16(&mut self, offset: u16, value: u16) {
        self.write(offset, Width::Word, value.into());
    }

    pub(crate) fn write_u32(&mut self, offset: u16, value: u32) {
        self.write(offset, Width::Dword, value);
    }

    /// Clears `clear` and then sets `set` in the 16-bit register at `offset`; writes only if that changes it.
    pub(crate) fn update_u16(&mut self, offset: u16, clear: u16, set: u16) {
        let old = self.read_u16(offset);
        let new = old & !clear | set;
        if new != old {
            self.write_u16(offset, new);
        }
    }

    /// Writes `ones` to the register at `offset` and gives back what it held before and what it reads then; it holds
    /// its old value again afterwards.
    pub(crate) fn probe_u32(&mut self, offset: u16, ones: u32) -> Probe {
        let before = self.read_u32(offset);
        self.write_u32(offset, ones);
        let ones = self.read_u32(offset);
        self.write_u32(offset, before);
        Probe { before, ones }
    }

    pub(crate) fn wait(&mut self) {
        self.access.wait();
    }
}

/// A capability may claim to start so late that its registers lie beyond the end of config space.
fn reachable(offset: u16, width: Width) -> bool {
    offset + width.bytes() <= EXT_CAP_END
}

/// What a register held, and what it read after ones were written.
pub(crate) struct Probe {
    pub(crate) before: u32,
    pub(crate) ones: u32,
}
