//! What a guest's hot-plug driver does to a slot, as far as registers show it: it asks to be told, and takes in what comes.

use pci_core::spec::caps::CapabilityId;
use pci_core::spec::caps::pci_express::PciExpressReg;
use pci_core::spec::caps::pci_express::SlotCapabilities;
use pci_core::spec::caps::pci_express::SlotControl;
use pci_core::spec::caps::pci_express::SlotStatus;
use pci_core::spec::cfg_space::Type0HeaderReg;
use pci_core::spec::cfg_space::Type1HeaderReg;
use pci_enumerate::Apertures;
use pci_enumerate::Bdf;
use pci_enumerate::ConfigAccess;
use pci_enumerate::HostBridge;
use pci_enumerate::Width;
use reg_table::BlockRegister;

/// As many 4-byte structures as fit behind the header.
const CAPABILITIES_MAX: usize = 48;
/// Of MSI: where Message Control is, its bit MSI Enable, and where address and data are.
const MSI_CONTROL: u16 = 2;
const MSI_ENABLE: u32 = 1;
const MSI_ADDRESS: u16 = 4;
const MSI_DATA_64: u16 = 12;
/// A message to the first processor of an x86 machine.
const MESSAGE: (u32, u32) = (0xfee0_0000, 0x40);
const MIB: u64 = 1 << 20;

/// The driver of one slot.
pub(crate) struct HotPlugDriver<'a> {
    access: &'a mut dyn ConfigAccess,
    port: Bdf,
    express: u16,
}

impl<'a> HotPlugDriver<'a> {
    /// The driver of the slot below `port`, if there is one that devices come to while the guest runs.
    pub(crate) fn of(access: &'a mut dyn ConfigAccess, port: Bdf) -> Option<Self> {
        let express = capability(access, port, CapabilityId::PCI_EXPRESS)?;
        let mut driver = Self {
            access,
            port,
            express,
        };
        driver.capabilities().hot_plug_capable().then_some(driver)
    }

    /// Has interrupts sent, and asks for all events of the parts that the slot has.
    pub(crate) fn bind(&mut self) {
        if let Some(msi) = capability(self.access, self.port, CapabilityId::MSI) {
            let (address, data) = MESSAGE;
            self.access
                .write(self.port, msi + MSI_ADDRESS, Width::Dword, address);
            self.access
                .write(self.port, msi + MSI_DATA_64, Width::Word, data);
            let control = self.access.read(self.port, msi + MSI_CONTROL, Width::Word);
            self.access.write(
                self.port,
                msi + MSI_CONTROL,
                Width::Word,
                control | MSI_ENABLE,
            );
        }
        let has = self.capabilities();
        let control = self
            .control()
            .with_attention_button_pressed_enable(has.attention_button_present())
            .with_power_fault_detected_enable(has.power_controller_present())
            .with_presence_detect_changed_enable(true)
            .with_data_link_layer_state_changed_enable(true)
            .with_hot_plug_interrupt_enable(true);
        self.set_control(control);
    }

    /// Wants to hear nothing, as before the machine sleeps.
    pub(crate) fn sleep(&mut self) {
        let control = self.control().with_hot_plug_interrupt_enable(false);
        self.set_control(control);
    }

    /// Whether it hears of the slot's events.
    pub(crate) fn is_told(&mut self) -> bool {
        self.control().hot_plug_interrupt_enable()
    }

    /// Takes note of the events, and takes in what is in the slot: gives its functions addresses in the port's windows, as far as they fit.
    pub(crate) fn answer(&mut self) {
        let at = self.at(PciExpressReg::SlotStatus);
        let status = self.access.read(self.port, at, Width::Word);
        // Writing ones clears what has been read.
        self.access.write(self.port, at, Width::Word, status);
        let status = SlotStatus::from_bits(low(status));
        let is_news = status.presence_detect_changed() || status.data_link_layer_state_changed();
        let is_present = status.presence_detect_state() != 0;
        let mut byte = |register| self.access.read(self.port, header(register), Width::Byte);
        let [secondary, subordinate] = [
            Type1HeaderReg::SecondaryBusNumber,
            Type1HeaderReg::SubordinateBusNumber,
        ]
        .map(|register| low(byte(register)).to_le_bytes()[0]);
        if !is_news || !is_present || secondary == 0 {
            return;
        }
        let prefetchable = self.prefetchable_window();
        let below = HostBridge::new(Apertures {
            buses: secondary..=subordinate,
            mmio32: self.memory_window(),
            mmio64: (!prefetchable.is_empty()).then_some(prefetchable),
            io: None,
        });
        // What does not fit gets no address, which is what a guest can do about it. Windows that make no sense are as good as none.
        let _ = pci_enumerate::enumerate(self.access, &below);
    }

    fn memory_window(&mut self) -> std::ops::Range<u64> {
        let [base, limit] = self.window([Type1HeaderReg::MemoryBase, Type1HeaderReg::MemoryLimit]);
        range(base, limit)
    }

    fn prefetchable_window(&mut self) -> std::ops::Range<u64> {
        let [base, limit] = self.window([
            Type1HeaderReg::PrefetchableMemoryBase,
            Type1HeaderReg::PrefetchableMemoryLimit,
        ]);
        let [upper_base, upper_limit] = [
            Type1HeaderReg::PrefetchableBaseUpper,
            Type1HeaderReg::PrefetchableLimitUpper,
        ]
        .map(|register| u64::from(self.access.read(self.port, header(register), Width::Dword)));
        range(base | upper_base << 32, limit | upper_limit << 32)
    }

    /// Base and limit of a window, in steps of 1 MiB.
    fn window(&mut self, registers: [Type1HeaderReg; 2]) -> [u64; 2] {
        registers.map(|register| {
            let value = self.access.read(self.port, header(register), Width::Word);
            u64::from(value & 0xfff0) << 16
        })
    }

    fn at(&self, register: PciExpressReg) -> u16 {
        self.express + register.register().offset
    }

    fn capabilities(&mut self) -> SlotCapabilities {
        let at = self.at(PciExpressReg::SlotCapabilities);
        SlotCapabilities::from_bits(self.access.read(self.port, at, Width::Dword))
    }

    fn control(&mut self) -> SlotControl {
        let at = self.at(PciExpressReg::SlotControl);
        SlotControl::from_bits(low(self.access.read(self.port, at, Width::Word)))
    }

    fn set_control(&mut self, control: SlotControl) {
        let at = self.at(PciExpressReg::SlotControl);
        self.access
            .write(self.port, at, Width::Word, control.into_bits().into());
        // It is done at once; a driver waits for that and takes note.
        let at = self.at(PciExpressReg::SlotStatus);
        let completed = SlotStatus::new().with_command_completed(true);
        self.access
            .write(self.port, at, Width::Word, completed.into_bits().into());
    }
}

fn range(base: u64, limit: u64) -> std::ops::Range<u64> {
    match base <= limit && limit != 0 {
        true => base..limit + MIB,
        false => 0..0,
    }
}

fn header(register: impl BlockRegister) -> u16 {
    register.register().offset
}

/// The lower half of a register that was read.
fn low(value: u32) -> u16 {
    let [low, lower, ..] = value.to_le_bytes();
    u16::from_le_bytes([low, lower])
}

fn capability(access: &mut dyn ConfigAccess, function: Bdf, id: CapabilityId) -> Option<u16> {
    let mut read = |offset| access.read(function, offset, Width::Byte);
    let mut at = low(read(header(Type0HeaderReg::CapabilitiesPointer)));
    for _ in 0..CAPABILITIES_MAX {
        if at == 0 || at >= 0xff {
            return None;
        }
        if read(at) == u32::from(id.0) {
            return Some(at);
        }
        at = low(read(at + 1));
    }
    None
}
