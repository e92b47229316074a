//! The header's registers, whichever type it is, and what a write to each is about.

use super::Effects;
use super::HeaderType;
use crate::capabilities::CapabilityRegisters;
use crate::spec::cfg_space::Command;
use crate::spec::cfg_space::IoAddressing;
use crate::spec::cfg_space::Type0HeaderReg;
use crate::spec::cfg_space::Type1HeaderReg;
use crate::spec::hwid::HardwareIds;
use inspect::Inspect;
use reg_table::Page;
use reg_table::RegisterFile;
use reg_table::Reset;
use std::sync::Arc;

/// The registers of the header, in the first 64 bytes of the function's page.
pub(super) enum Header {
    Type0(RegisterFile<Type0HeaderReg>),
    Type1(RegisterFile<Type1HeaderReg>),
}

impl Inspect for Header {
    fn inspect(&self, req: inspect::Request<'_>) {
        match self {
            Self::Type0(file) => file.inspect(req),
            Self::Type1(file) => file.inspect(req),
        }
    }
}

/// Runs one expression on whichever type it is; `$reg` is the type's register enum.
macro_rules! each {
    ($header:expr, ($file:ident, $reg:ident) => $body:expr) => {
        match $header {
            Header::Type0($file) => {
                #[allow(unused_imports, reason = "not every body names a register")]
                use crate::spec::cfg_space::Type0HeaderReg as $reg;
                $body
            }
            Header::Type1($file) => {
                #[allow(unused_imports, reason = "not every body names a register")]
                use crate::spec::cfg_space::Type1HeaderReg as $reg;
                $body
            }
        }
    };
}
pub(super) use each;

/// The bits of Command that PCI Express does not hardwire to zero (PCIe 6.2 section 7.5.1.1.3).
const EXPRESS_COMMAND: Command = Command::new()
    .with_pio_enabled(true)
    .with_mmio_enabled(true)
    .with_bus_master(true)
    .with_parity_error_response(true)
    .with_enable_serr(true)
    .with_intx_disable(true);

const TYPE0_BARS: [Type0HeaderReg; 6] = {
    use Type0HeaderReg::*;
    [Bar0, Bar1, Bar2, Bar3, Bar4, Bar5]
};
const TYPE1_BARS: [Type1HeaderReg; 2] = [Type1HeaderReg::Bar0, Type1HeaderReg::Bar1];

impl Header {
    /// The header of a function, moved into its page.
    pub(super) fn new(
        header_type: HeaderType,
        ids: &HardwareIds,
        has_capabilities: bool,
        page: &Arc<Page>,
    ) -> Self {
        let mut header = match header_type {
            HeaderType::Type0 => {
                let mut file = RegisterFile::new(Type0HeaderReg::VendorId);
                file.init(Type0HeaderReg::SubsystemVendorId, ids.type0_sub_vendor_id);
                file.init(Type0HeaderReg::SubsystemId, ids.type0_sub_system_id);
                Self::Type0(file)
            }
            HeaderType::Type1 => Self::Type1(RegisterFile::new(Type1HeaderReg::VendorId)),
        };
        each!(&mut header, (file, Reg) => {
            file.init(Reg::VendorId, ids.vendor_id);
            file.init(Reg::DeviceId, ids.device_id);
            file.init(Reg::RevisionId, ids.revision_id);
            file.init(Reg::ProgrammingInterface, u8::from(ids.prog_if));
            file.init(Reg::SubClass, u8::from(ids.sub_class));
            file.init(Reg::BaseClass, u8::from(ids.base_class));
            if has_capabilities {
                file.init(Reg::Status, crate::spec::cfg_space::Status::new().with_capabilities_list(true).into_bits());
                file.init(Reg::CapabilitiesPointer, 0x40u8);
            }
            // Callers of this interface expect it to read zero.
            file.narrow(Reg::CacheLineSize, 0);
            // The page is longer than any header.
            let _ = file.attach(page, 0, 0);
        });
        header
    }

    /// Leaves Command the bits that mean something on PCI Express, and Cache Line Size and the latency timer what the specification
    /// gives them.
    pub(super) fn standardize(&mut self) {
        each!(self, (file, Reg) => {
            file.narrow(Reg::Command, EXPRESS_COMMAND.into_bits().into());
            file.narrow(Reg::CacheLineSize, u8::MAX.into());
        });
        if let Self::Type0(file) = self {
            file.narrow(Type0HeaderReg::MinGnt, 0);
        }
    }

    /// Composes one BAR register: which bits software can write, and what the others read.
    pub(super) fn init_bar(&mut self, index: usize, writable: u32, value: u32) {
        match self {
            Self::Type0(file) => {
                if let Some(&bar) = TYPE0_BARS.get(index) {
                    file.narrow(bar, writable);
                    file.init(bar, value);
                }
            }
            Self::Type1(file) => {
                if let Some(&bar) = TYPE1_BARS.get(index) {
                    file.narrow(bar, writable);
                    file.init(bar, value);
                }
            }
        }
    }

    /// One BAR register.
    pub(super) fn bar(&self, index: usize) -> u32 {
        match self {
            Self::Type0(file) => TYPE0_BARS.get(index).map_or(0, |&bar| file.get(bar)),
            Self::Type1(file) => TYPE1_BARS.get(index).map_or(0, |&bar| file.get(bar)),
        }
    }

    /// Composes the expansion ROM's register: which bits software can write.
    pub(super) fn init_rom(&mut self, writable: u32) {
        each!(self, (file, Reg) => file.narrow(Reg::ExpansionRomBaseAddress, writable));
    }

    /// The expansion ROM's register.
    pub(super) fn rom(&self) -> u32 {
        each!(self, (file, Reg) => file.get(Reg::ExpansionRomBaseAddress))
    }

    /// Composes a bridge's I/O window: how much of an address it has; `None` for no window.
    pub(super) fn init_io_window(&mut self, addressing: Option<IoAddressing>) {
        use Type1HeaderReg::*;
        let Self::Type1(file) = self else { return };
        let (short, upper) = match addressing {
            None => (0, 0),
            Some(IoAddressing::Bits16) => (0xf0, 0),
            Some(IoAddressing::Bits32) => (0xf0, 0xffff),
        };
        for register in [IoBase, IoLimit] {
            file.narrow(register, short);
            file.init(
                register,
                addressing.map_or(0, |addressing| addressing as u8),
            );
        }
        for register in [IoBaseUpper, IoLimitUpper] {
            file.narrow(register, upper);
        }
    }

    /// Sets the software-writable bits of one BAR register.
    pub(super) fn set_bar(&self, index: usize, value: u32) {
        // The caller places the BARs afterwards.
        let _ = self.write(
            0x10 + 4 * u16::try_from(index).unwrap_or(u16::MAX >> 2),
            value,
            u32::MAX,
        );
    }

    /// Shows what is stored at 0x3E at 0x0D as well: callers of this interface take it for the latency timer, and look there.
    pub(super) fn show_latency(&self) {
        if let Self::Type0(file) = self {
            file.set(
                Type0HeaderReg::LatencyTimer,
                file.get(Type0HeaderReg::MinGnt),
            );
        }
    }

    /// Software writes the enabled lanes of a dword.
    pub(super) fn write(&self, offset: u16, value: u32, lanes: u32) -> Effects {
        let mut effects = Effects::default();
        match self {
            Self::Type0(file) => {
                for change in file.write(offset, value, lanes) {
                    type0_effect(change.register, &mut effects);
                    if change.register == Type0HeaderReg::MinGnt {
                        self.show_latency();
                    }
                }
            }
            Self::Type1(file) => {
                for change in file.write(offset, value, lanes) {
                    type1_effect(change.register, &mut effects);
                }
            }
        }
        effects
    }

    pub(super) fn registers(&self) -> CapabilityRegisters {
        each!(self, (file, Reg) => file.into())
    }

    pub(super) fn reset(&self, kind: Reset) {
        each!(self, (file, Reg) => file.reset(kind));
    }
}

fn type0_effect(register: Type0HeaderReg, effects: &mut Effects) {
    use Type0HeaderReg::*;
    match register {
        Command => effects.command = true,
        Bar0 | Bar1 | Bar2 | Bar3 | Bar4 | Bar5 | ExpansionRomBaseAddress => effects.bars = true,
        // Error bits are only recorded.
        Status => {}
        // Notes that software keeps for itself.
        InterruptLine | CacheLineSize | MinGnt => {}
        // Read-only.
        VendorId | DeviceId | RevisionId | ProgrammingInterface | SubClass | BaseClass
        | LatencyTimer | HeaderType | Bist | CardbusCisPointer | SubsystemVendorId
        | SubsystemId | CapabilitiesPointer | Reserved35 | Reserved36 | Reserved38
        | InterruptPin | MaxLat => {}
    }
}

fn type1_effect(register: Type1HeaderReg, effects: &mut Effects) {
    use Type1HeaderReg::*;
    match register {
        Command => effects.command = true,
        Bar0 | Bar1 | ExpansionRomBaseAddress => effects.bars = true,
        PrimaryBusNumber | SecondaryBusNumber | SubordinateBusNumber => effects.bus_numbers = true,
        IoBase
        | IoLimit
        | IoBaseUpper
        | IoLimitUpper
        | MemoryBase
        | MemoryLimit
        | PrefetchableMemoryBase
        | PrefetchableMemoryLimit
        | PrefetchableBaseUpper
        | PrefetchableLimitUpper => effects.windows = true,
        BridgeControl => effects.bridge_control = true,
        // Error bits are only recorded.
        Status | SecondaryStatus => {}
        // Notes that software keeps for itself.
        InterruptLine | CacheLineSize => {}
        // Read-only.
        VendorId
        | DeviceId
        | RevisionId
        | ProgrammingInterface
        | SubClass
        | BaseClass
        | LatencyTimer
        | HeaderType
        | Bist
        | SecondaryLatencyTimer
        | CapabilitiesPointer
        | Reserved35
        | Reserved36
        | InterruptPin => {}
    }
}
