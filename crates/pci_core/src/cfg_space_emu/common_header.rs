//! What functions of both header types have: identity, Command and Status, BARs, capabilities.

mod placement;

use super::CommonHeaderResult;
use super::ConfigSpaceError;
use super::DeviceBars;
use super::Effects;
use super::HeaderType;
use super::IntxInterrupt;
use super::bars::Bar;
use super::bars::Rom;
use super::chain::Chain;
use super::chain::Owner;
use super::header::Header;
use super::header::each;
use super::header_type_consts::TYPE0_BAR_COUNT;
use super::header_type_consts::TYPE1_BAR_COUNT;
use crate::PciInterruptPin;
use crate::bar_mapping::BarMappings;
use crate::bus_master::BusMaster;
use crate::capabilities::PciCapability;
use crate::capabilities::PciExtendedCapability;
use crate::capabilities::advanced_features::AdvancedFeaturesCapability;
use crate::capabilities::pci_express::PciExpressCapability;
use crate::capabilities::power_management::PowerManagementCapability;
use crate::spec::caps::COMMON_HEADER_END;
use crate::spec::caps::CapabilityId;
use crate::spec::caps::EXT_CAP_END;
use crate::spec::caps::EXT_CAP_START;
use crate::spec::caps::power_management::PowerState;
use crate::spec::cfg_space::Command;
use crate::spec::cfg_space::Status;
use crate::spec::errors::ErrorMessage;
use crate::spec::hwid::HardwareIds;
use chipset_device::io::IoError;
use chipset_device::pci::ByteEnables;
use inspect::Inspect;
use pci_bus::Upstream;
use placement::compose_bars;
use reg_table::Page;
use reg_table::Reset;
use std::sync::Arc;
use vmcore::line_interrupt::LineInterrupt;

const BAR0: u16 = 0x10;

/// The emulator that [`ConfigSpaceType0Emulator`](super::ConfigSpaceType0Emulator) (`N` = 6) and
/// [`ConfigSpaceType1Emulator`](super::ConfigSpaceType1Emulator) (`N` = 2) are built on.
#[derive(Inspect)]
pub struct ConfigSpaceCommonHeaderEmulator<const N: usize> {
    #[inspect(skip)]
    image: ConfigSpaceImage,
    /// First offset that does not exist: 0x1000, or 0x100 for a function that is not PCI Express.
    #[inspect(hex)]
    limit: u16,
    /// Accesses beyond that are answered.
    #[inspect(skip)]
    answers_beyond: bool,
    pub(super) header: Header,
    #[inspect(skip)]
    chain: Chain,
    #[inspect(skip)]
    hardware_ids: HardwareIds,
    #[inspect(with = "|caps| inspect::iter_by_key(caps.iter().map(|c| (c.label(), c)))")]
    pub(super) capabilities: Vec<Box<dyn PciCapability>>,
    #[inspect(with = "|caps| inspect::iter_by_key(caps.iter().map(|c| (c.label(), c)))")]
    pub(super) extended_capabilities: Vec<Box<dyn PciExtendedCapability>>,
    #[inspect(with = "inspect_bars")]
    pub(super) bars: [Option<Bar>; N],
    rom: Option<Rom>,
    #[inspect(skip)]
    pub(super) bar_masks: [u32; N],
    /// What the BAR registers read, as of the last change.
    #[inspect(skip)]
    base_addresses: [u32; N],
    /// Where memory BARs and the expansion ROM answer; empty while Memory Space Enable is clear.
    mappings: BarMappings,
    /// Where I/O BARs answer; empty while I/O Space Enable is clear.
    io_mappings: BarMappings,
    /// What the bridges above let through.
    upstream: Upstream,
    pub(super) intx: Option<Arc<IntxInterrupt>>,
    /// Error messages that nobody fetched yet.
    #[inspect(skip)]
    pub(super) unsent: Vec<ErrorMessage>,
    /// Whether the function may issue requests.
    bus_master: BusMaster,
    /// Whether MSI and MSI-X wait for that.
    #[inspect(skip)]
    gates_messages: bool,
    /// Whether they would go out.
    #[inspect(skip)]
    sends_messages: bool,
}

/// What a read of a function needs, and nothing else. A device of many functions keeps these side by side, so that a scan of
/// them finds several in each cache line; they stay what they are for as long as the functions are.
#[derive(Clone)]
pub struct ConfigSpaceImage {
    /// The whole configuration space, registers and pointers as the guest reads them.
    page: Arc<Page>,
    /// First offset that is not read from the page alone: the limit, or 0 where a capability is reached by calls.
    end: u16,
}

impl ConfigSpaceImage {
    /// Reads a dword, unless the emulator must be asked: for what a capability answers by calls, and for what does not exist.
    #[inline]
    pub fn read(&self, offset: u16) -> Option<u32> {
        (offset < self.end && offset.is_multiple_of(4)).then(|| self.page.load(offset))
    }
}

/// The common part of a Type 0 header.
pub type ConfigSpaceCommonHeaderEmulatorType0 = ConfigSpaceCommonHeaderEmulator<TYPE0_BAR_COUNT>;
/// The common part of a Type 1 header.
pub type ConfigSpaceCommonHeaderEmulatorType1 = ConfigSpaceCommonHeaderEmulator<TYPE1_BAR_COUNT>;

fn inspect_bars(bars: &[Option<Bar>]) -> impl Inspect + '_ {
    inspect::iter_by_index(bars).prefix("bar")
}

impl<const N: usize> ConfigSpaceCommonHeaderEmulator<N> {
    /// Composes a function. BARs asked for in slots from `N` on are left out.
    ///
    /// # Panics
    ///
    /// Where [`Self::try_new`] gives an error, with its text.
    #[expect(
        clippy::panic,
        reason = "documented; callers with values that are not constants use `try_new`"
    )]
    pub fn new(
        hardware_ids: HardwareIds,
        capabilities: Vec<Box<dyn PciCapability>>,
        extended_capabilities: Vec<Box<dyn PciExtendedCapability>>,
        bars: DeviceBars,
    ) -> Self {
        match Self::try_new(hardware_ids, capabilities, extended_capabilities, bars) {
            Ok(emulator) => emulator,
            Err(error) => panic!("{error}"),
        }
    }

    /// Composes a function. BARs asked for in slots from `N` on are left out.
    ///
    /// # Errors
    ///
    /// [`ConfigSpaceError`] names the capability or BAR that cannot be.
    pub fn try_new(
        hardware_ids: HardwareIds,
        mut capabilities: Vec<Box<dyn PciCapability>>,
        mut extended_capabilities: Vec<Box<dyn PciExtendedCapability>>,
        bars: DeviceBars,
    ) -> Result<Self, ConfigSpaceError> {
        let page = Page::new(0);
        if extended_capabilities.is_empty() {
            // As a function with 256 bytes of configuration space answers.
            page.fill(
                usize::from(EXT_CAP_START) / 4..usize::from(EXT_CAP_END) / 4,
                u32::MAX,
            );
        }
        let header_type = if N == TYPE1_BAR_COUNT {
            HeaderType::Type1
        } else {
            HeaderType::Type0
        };
        let mut header = Header::new(header_type, &hardware_ids, !capabilities.is_empty(), &page);
        let (bars, bar_masks, rom) = compose_bars(&mut header, bars)?;
        header.init_io_window(None);
        let chain = Chain::new(&page, &mut capabilities, &mut extended_capabilities)?;
        let is_pcie = capabilities
            .iter()
            .any(|c| c.capability_id() == CapabilityId::PCI_EXPRESS);
        let limit = if is_pcie { EXT_CAP_END } else { EXT_CAP_START };
        let mut emulator = Self {
            image: ConfigSpaceImage {
                page,
                end: if chain.foreign { 0 } else { limit },
            },
            limit,
            answers_beyond: false,
            header,
            chain,
            hardware_ids,
            capabilities,
            extended_capabilities,
            bars,
            rom,
            bar_masks,
            base_addresses: [0; N],
            mappings: BarMappings::default(),
            io_mappings: BarMappings::default(),
            upstream: Upstream::open(),
            intx: None,
            unsent: Vec::new(),
            bus_master: BusMaster::disabled(),
            gates_messages: false,
            sends_messages: false,
        };
        emulator.begin_resizable()?;
        emulator.place_bars();
        Ok(emulator)
    }

    /// BARs of the header: `N`.
    pub const fn bar_count(&self) -> usize {
        N
    }

    /// The header's type.
    ///
    /// # Panics
    ///
    /// When `N` is neither 6 nor 2.
    #[expect(clippy::panic, reason = "documented; N is a constant of the program")]
    pub const fn header_type(&self) -> HeaderType {
        match N {
            TYPE0_BAR_COUNT => HeaderType::Type0,
            TYPE1_BAR_COUNT => HeaderType::Type1,
            _ => panic!("a header has 6 BARs or 2"),
        }
    }

    /// Whether the header is of type `expected`.
    pub fn validate_header_type(&self, expected: HeaderType) -> bool {
        N == expected.bar_count()
    }

    /// Says in Header Type that the device has several functions, or has not.
    pub fn with_multi_function_bit(mut self, multi_function: bool) -> Self {
        self.set_multi_function_bit(multi_function);
        self
    }

    /// As [`Self::with_multi_function_bit`].
    pub fn set_multi_function_bit(&mut self, multi_function: bool) {
        let layout = match self.header {
            Header::Type0(_) => 0,
            Header::Type1(_) => 1,
        };
        let value = layout | (u8::from(multi_function) << 7);
        each!(&mut self.header, (file, Reg) => file.init(Reg::HeaderType, value));
    }

    /// What Header Type says of several functions.
    pub fn multi_function_bit(&self) -> bool {
        each!(&self.header, (file, Reg) => file.get8(Reg::HeaderType)) & 0x80 != 0
    }

    /// Lets Bus Master Enable gate MSI and MSI-X, the function's own and that of the bridges above (PCIe 6.2 section 7.5.1.1.3).
    pub fn with_bus_master_gate(mut self) -> Self {
        self.gates_messages = true;
        self.gate_messages(self.sends_messages);
        self
    }

    /// Answers accesses to registers beyond the configuration space.
    pub fn with_answer_beyond(mut self) -> Self {
        self.answers_beyond = true;
        self
    }

    /// Follows whether the function may issue requests.
    pub fn bus_master(&self) -> BusMaster {
        self.bus_master.clone()
    }

    /// What the bridges above let through.
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// The bridges above let `upstream` through from now on: BARs that they do not reach are unmapped, and requests go up only
    /// if all of them pass requests on.
    pub fn set_upstream(&mut self, upstream: &Upstream) {
        if self.upstream == *upstream {
            return;
        }
        let moved = (&self.upstream.memory, &self.upstream.io) != (&upstream.memory, &upstream.io);
        self.upstream.clone_from(upstream);
        self.update_bus_master(self.command());
        if moved {
            self.place_bars();
        }
    }

    /// Records error bits in Status, which software clears (PCIe 6.2 section 7.5.1.1.4). Other bits are ignored.
    pub fn record_status(&self, errors: Status) {
        each!(&self.header, (file, Reg) => {
            let errors = u32::from(errors.into_bits()) & file.writable(Reg::Status);
            file.update(Reg::Status, |status| status | errors);
        });
    }

    pub(super) fn update_bus_master(&mut self, command: Command) {
        let enabled = command.bus_master() && self.upstream.bus_master;
        self.bus_master
            .set(enabled && self.power_state() == PowerState::D0);
        let sends = enabled && !self.sleeps_silently();
        if std::mem::replace(&mut self.sends_messages, sends) != sends {
            self.gate_messages(sends);
        }
    }

    /// Whether Bus Master Enable, the function's own and that of the bridges above, lets its messages out; always, without the gate.
    pub(super) fn messages_pass(&self) -> bool {
        self.sends_messages || !self.gates_messages
    }

    fn gate_messages(&mut self, enabled: bool) {
        if self.gates_messages {
            for capability in &mut self.capabilities {
                capability.bus_master_changed(enabled);
            }
        }
    }

    /// Gives the function an INTx pin, wired to `line`.
    pub fn set_interrupt_pin(
        &mut self,
        pin: PciInterruptPin,
        line: LineInterrupt,
    ) -> Arc<IntxInterrupt> {
        each!(&mut self.header, (file, Reg) => file.init(Reg::InterruptPin, pin as u8 + 1));
        let intx = Arc::new(IntxInterrupt::new(
            line,
            self.image.page.clone(),
            self.command().intx_disable(),
        ));
        self.intx = Some(intx.clone());
        intx
    }

    /// Resets to the state after power-on: registers, capabilities, BAR mappings; INTx goes low.
    pub fn reset(&mut self) {
        self.reset_by(Reset::Cold);
    }

    /// Resets as `kind` says: registers, capabilities, BAR mappings; INTx goes low.
    pub fn reset_by(&mut self, kind: Reset) {
        self.header.reset(kind);
        for capability in &mut self.capabilities {
            capability.reset_by(kind);
        }
        for capability in &mut self.extended_capabilities {
            capability.reset_by(kind);
        }
        self.follow_resized();
        if let Some(intx) = &self.intx {
            intx.set_level(false);
        }
        self.sync_command_register(self.command());
    }

    /// The identifiers it was composed with.
    pub fn hardware_ids(&self) -> &HardwareIds {
        &self.hardware_ids
    }

    /// The legacy capabilities, in order.
    pub fn capabilities(&self) -> &[Box<dyn PciCapability>] {
        &self.capabilities
    }

    /// The legacy capabilities, in order.
    pub fn capabilities_mut(&mut self) -> &mut [Box<dyn PciCapability>] {
        &mut self.capabilities
    }

    /// The extended capabilities, in order.
    pub fn extended_capabilities(&self) -> &[Box<dyn PciExtendedCapability>] {
        &self.extended_capabilities
    }

    /// The Command register.
    pub fn command(&self) -> Command {
        Command::from_bits(each!(&self.header, (file, Reg) => file.get16(Reg::Command)))
    }

    /// The BAR registers.
    pub fn base_addresses(&self) -> &[u32; N] {
        &self.base_addresses
    }

    /// Interrupt Line.
    pub fn interrupt_line(&self) -> u8 {
        each!(&self.header, (file, Reg) => file.get8(Reg::InterruptLine))
    }

    /// Interrupt Pin: 0 for none, 1 to 4 for INTA to INTD.
    pub fn interrupt_pin(&self) -> u8 {
        each!(&self.header, (file, Reg) => file.get8(Reg::InterruptPin))
    }

    /// Sets Interrupt Line.
    pub fn set_interrupt_line(&mut self, interrupt_line: u8) {
        each!(&self.header, (file, Reg) => file.set(Reg::InterruptLine, interrupt_line));
    }

    /// Sets the Command register, without the effects; see [`Self::sync_command_register`].
    pub fn set_command(&mut self, command: Command) {
        each!(&self.header, (file, Reg) => file.set(Reg::Command, command.into_bits()));
    }

    /// Whether it has a PCI Express capability.
    pub fn is_pcie_device(&self) -> bool {
        self.limit == EXT_CAP_END
    }

    /// The page that holds the configuration space. It may be read at any time, and mapped read-only for the guest to read.
    pub fn page(&self) -> &Arc<Page> {
        &self.image.page
    }

    /// What reads of it need.
    pub fn image(&self) -> &ConfigSpaceImage {
        &self.image
    }

    /// Whether both header types have the register at `offset`.
    fn is_common(offset: u16) -> bool {
        matches!(offset, 0x00..0x0c | 0x34)
            || (BAR0..BAR0 + 4 * u16::try_from(N).unwrap_or(0)).contains(&offset)
            || offset >= COMMON_HEADER_END
    }

    /// Reads a dword of the common part.
    pub fn read_u32(&self, offset: u16, value: &mut u32) -> CommonHeaderResult {
        if !Self::is_common(offset) {
            return CommonHeaderResult::Unhandled;
        }
        match self.read(offset) {
            Ok(read) => {
                *value = read;
                CommonHeaderResult::Handled
            }
            Err(error) => CommonHeaderResult::Failed(error),
        }
    }

    /// Writes a dword of the common part. Vendor and Device ID are left to the header type, as a write to them has no meaning.
    pub fn write_u32(&mut self, offset: u16, val: u32) -> CommonHeaderResult {
        if !Self::is_common(offset) || offset == 0 {
            return CommonHeaderResult::Unhandled;
        }
        match self.write(offset, val, ByteEnables::ALL) {
            Ok(_) => CommonHeaderResult::Handled,
            Err(error) => CommonHeaderResult::Failed(error),
        }
    }

    /// Reads any dword.
    #[inline]
    pub(super) fn read(&self, offset: u16) -> Result<u32, IoError> {
        match self.image.read(offset) {
            Some(value) => Ok(value),
            None => self.read_elsewhere(offset),
        }
    }

    /// Reads a dword that may belong to a capability outside of the page, or not exist.
    #[cold]
    fn read_elsewhere(&self, offset: u16) -> Result<u32, IoError> {
        if offset >= self.limit || !offset.is_multiple_of(4) {
            return self.beyond(offset).map(|()| u32::MAX);
        }
        let stored = self.image.page.load(offset);
        let Some(place) = self.chain.find_foreign(offset) else {
            return Ok(stored);
        };
        let (relative, link) = (offset - place.offset, place.link_bits(offset));
        let value = match place.owner {
            Owner::Legacy(i) => self.capabilities.get(i).map(|c| c.read_u32(relative)),
            Owner::Extended(i) => self
                .extended_capabilities
                .get(i)
                .map(|c| c.read_u32(relative)),
        };
        Ok(value.map_or(stored, |value| (value & !link) | (stored & link)))
    }

    /// Whether an access to what does not exist is answered.
    fn beyond(&self, offset: u16) -> Result<(), IoError> {
        let is_register = offset < EXT_CAP_END && offset.is_multiple_of(4);
        match self.answers_beyond && is_register {
            true => Ok(()),
            false => Err(IoError::InvalidRegister),
        }
    }

    /// Writes the enabled bytes of any dword, and lets the common part of the effects happen.
    pub(super) fn write(
        &mut self,
        offset: u16,
        value: u32,
        enables: ByteEnables,
    ) -> Result<Effects, IoError> {
        if offset >= self.limit || !offset.is_multiple_of(4) {
            return self.beyond(offset).map(|()| Effects::default());
        }
        if offset < COMMON_HEADER_END {
            let before = self.command();
            let effects = self.header.write(offset, value, enables.mask());
            if effects.command {
                self.command_changed(before);
            }
            if effects.bars {
                self.place_bars();
            }
            return Ok(effects);
        }
        // Space that no capability covers is reserved: writes have no effect (PCIe 6.2 section 7.4).
        if let Some(&place) = self.chain.find(offset) {
            let relative = offset - place.offset;
            match place.owner {
                Owner::Legacy(i) => {
                    return Ok(self.write_capability(i, relative, value, enables));
                }
                Owner::Extended(i) => {
                    if let Some(capability) = self.extended_capabilities.get_mut(i) {
                        capability.write_bytes(relative, value, enables);
                    }
                    if self.follow_resized() {
                        self.place_bars();
                        return Ok(Effects {
                            bars: true,
                            ..Effects::default()
                        });
                    }
                }
            }
        }
        Ok(Effects::default())
    }

    fn write_capability(
        &mut self,
        index: usize,
        offset: u16,
        value: u32,
        enables: ByteEnables,
    ) -> Effects {
        let mut effects = Effects::default();
        let Some(capability) = self.capabilities.get_mut(index) else {
            return effects;
        };
        let pme_enabled = capability
            .as_power_management()
            .map(PowerManagementCapability::pme_enabled);
        capability.write_bytes(offset, value, enables);
        effects.function_reset = capability
            .as_pci_express()
            .is_some_and(PciExpressCapability::take_function_level_reset)
            || capability
                .as_advanced_features()
                .is_some_and(AdvancedFeaturesCapability::take_function_level_reset);
        let power = capability.as_power_management_mut();
        effects.pme = power
            .as_ref()
            .is_some_and(|power| power.pme_is_due() || pme_enabled != Some(power.pme_enabled()));
        let transition = power.and_then(PowerManagementCapability::take_transition);
        if let Some(transition) = transition {
            effects.power_state = true;
            effects.function_reset |= transition.soft_reset;
            self.sync_command_register(self.command());
        }
        effects
    }

    /// The power state that software chose; D0 without a Power Management capability.
    pub fn power_state(&self) -> PowerState {
        self.capabilities
            .iter()
            .find_map(|capability| capability.as_power_management())
            .map_or(PowerState::D0, PowerManagementCapability::power_state)
    }

    fn command_changed(&mut self, before: Command) {
        let now = self.command();
        if now.intx_disable() != before.intx_disable() {
            self.update_intx_disable(now.intx_disable());
        }
        self.update_bus_master(now);
        let decodes = |command: Command| (command.mmio_enabled(), command.pio_enabled());
        if decodes(now) != decodes(before) {
            self.place_bars_if(now);
        }
    }

    /// Applies all effects of `command`, changed or not.
    pub fn sync_command_register(&mut self, command: Command) {
        self.update_intx_disable(command.intx_disable());
        self.update_bus_master(command);
        self.place_bars_if(command);
    }

    /// Applies Interrupt Disable to the line.
    pub fn update_intx_disable(&mut self, disabled: bool) {
        if let Some(intx) = &self.intx {
            intx.set_disabled(disabled || self.sleeps_silently());
        }
    }

    /// INTx is silent while software disabled it, and below D0.
    pub(super) fn intx_disabled(&self, command: Command) -> bool {
        command.intx_disable() || self.sleeps_silently()
    }

    /// Below D0, a function sends nothing but power management events (PCIe 6.2 section 5.3.1). Interrupts of a root port or an event
    /// collector go over no link, and by them software hears that something wants to be woken (section 6.1.6).
    fn sleeps_silently(&self) -> bool {
        self.power_state() != PowerState::D0
            && !self
                .pci_express()
                .is_some_and(PciExpressCapability::ends_messages)
    }
}
