//! Endpoints that do nothing but what tests of a hierarchy need: registers to look at, memory to write, interrupts to raise.

mod compose;
mod function;
pub(crate) mod rom;
mod save_restore;

use crate::EndpointSpec;
use crate::Problems;
use crate::Seat;
use crate::compose::Registration;
use crate::validate;
use crate::validate::Above;
use crate::validate::PortTraits;
use chipset_device::io::IoResult;
use chipset_device::mmio::RegisterMmioIntercept;
use chipset_device::pci::ByteEnables;
use chipset_device::pio::ExternallyManagedPortIoIntercepts;
use function::Consequences;
use function::EndpointFunction;
use inspect::InspectMut;
use pci_bus::Fabric;
use pci_bus::GenericPciBusDevice;
use pci_bus::IntxLines;
use pci_bus::LinkEnd;
use pci_bus::ManagedDevice;
use pci_bus::Stimulus;
use pci_bus::StimulusError;
use pci_bus::Upstream;
use pci_bus::events::EventKind;
use pci_core::capabilities::pci_express::LinkRate;
use pci_core::cfg_space_emu::ConfigSpaceImage;
use pci_core::msi::MsiTarget;
use pci_core::spec::Bdf;
use pci_core::spec::messages::Message;
use reg_table::Reset;
use std::sync::Arc;
use vmcore::save_restore::ProtobufSaveRestore;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;
use vmcore::save_restore::SavedStateBlob;

/// Offset in BAR 0 of the doorbell, the last dword of the scratch page.
pub const DOORBELL_OFFSET: u64 = 0xffc;

/// What a driver writes to the doorbell to lower INTx.
pub const INTX_ACKNOWLEDGE: u32 = u32::MAX;

/// An endpoint of one or more like functions, as an [`EndpointSpec`] describes it.
///
/// | where | what |
/// | --- | --- |
/// | BAR 0, 0x000 to 0xffb | scratch memory: reads what was written, zero after a reset |
/// | BAR 0, 0xffc | doorbell: a dword write of n raises vector n, by MSI-X where the guest enabled it, else by MSI, else by INTx; reads zero |
/// | I/O BARs | the scratch memory from its start on, as many bytes as the BAR has |
/// | expansion ROM | an image that says whose it is, and has no program |
/// | MSI-X's BAR | the table and the pending bits |
/// | CXL's BAR | component registers with HDM decoders, in function 0 |
/// | elsewhere | reads zero, ignores writes |
///
/// Scratch memory and doorbell take naturally aligned accesses of 1, 2, 4 or 8 bytes, tables and component registers of 4 or 8. A
/// doorbell write narrower than a dword is ignored. INTx stays high until [`INTX_ACKNOWLEDGE`] is written to the doorbell, or the guest
/// enables MSI or MSI-X. Bus Master Enable gates MSI and MSI-X.
///
/// Not emulated: DMA; memory behind the HDM decoders.
///
/// ```
/// use chipset_device::mmio::ExternallyManagedMmioIntercepts;
/// use pci_bus::GenericPciBusDevice;
/// use pci_core::msi::MsiTarget;
/// use pcie_topology::{EndpointSpec, TestEndpoint};
///
/// let spec = EndpointSpec { device_id: 0xc1e4, functions: 2, ..EndpointSpec::new("nic0") };
/// let msi_target = MsiTarget::disconnected();
/// let mut endpoint = TestEndpoint::new(&spec, &msi_target, &mut ExternallyManagedMmioIntercepts)?;
/// let mut value = 0;
/// endpoint.pci_cfg_read_with_routing(1, 1, 1, 0, &mut value);
/// assert_eq!(value, 0xc1e4_1414);
///
/// let spec = EndpointSpec { functions: 0, ..spec };
/// let problems = TestEndpoint::new(&spec, &msi_target, &mut ExternallyManagedMmioIntercepts).err().unwrap();
/// assert_eq!(problems.to_string(), "functions: 0; a device has 1 to 256");
/// # Ok::<(), pcie_topology::Problems>(())
/// ```
pub struct TestEndpoint {
    name: Arc<str>,
    functions: Vec<EndpointFunction>,
    /// Those of `functions`, for reads.
    images: Vec<ConfigSpaceImage>,
    fabric: Fabric,
    /// Requests answered with Request Retry Status after each reset.
    retries: u32,
    /// How many of them are left.
    retries_left: u32,
}

impl TestEndpoint {
    /// Composes an endpoint to be attached to a port. `msi_target` is that of function 0 on the bus below the port.
    ///
    /// # Errors
    ///
    /// What [`Topology::validate`](crate::Topology::validate) says of endpoints, for a port with ARI forwarding and CXL.
    pub fn new(
        spec: &EndpointSpec,
        msi_target: &MsiTarget,
        register_mmio: &mut dyn RegisterMmioIntercept,
    ) -> Result<Self, Problems> {
        validate::endpoint(
            spec,
            Above::Port(PortTraits {
                ari_forwarding: true,
                cxl_mem: true,
                io_window: true,
            }),
        )?;
        let mut register = Registration {
            mmio: register_mmio,
            pio: &mut ExternallyManagedPortIoIntercepts,
        };
        Self::compose(spec, Seat::BehindPort, msi_target, &mut register)
            .map_err(|error| Problems::one("endpoint", error))
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Tells the fabric what a configuration write led to.
    #[cold]
    fn follow(&self, consequences: Consequences, bus: u8, function: u8) {
        let bdf = (bus != 0).then(|| Bdf::from_devfn(bus, function));
        let events = self.fabric.events();
        if let Some(state) = consequences.power_state {
            events.push(&self.name, bdf, EventKind::PowerState(state), "");
        }
        if consequences.was_reset {
            let kind = EventKind::Reset(Reset::FunctionLevel);
            events.push(&self.name, bdf, kind, "asked for by the guest");
        }
        if consequences.pme {
            self.fabric.announce_message();
        }
    }

    /// Reads what is not in a function's image.
    #[cold]
    fn read_elsewhere(&self, function: u8, offset: u16, value: &mut u32) -> Option<IoResult> {
        let function = self.functions.get(usize::from(function))?;
        Some(function.cfg_space.read_u32(offset, value))
    }

    /// The function that a Type 0 cycle is for.
    #[inline]
    fn addressed(
        &mut self,
        secondary_bus: u8,
        target_bus: u8,
        function: u8,
    ) -> Option<&mut EndpointFunction> {
        if target_bus != secondary_bus {
            return None;
        }
        self.functions.get_mut(usize::from(function))
    }
}

impl GenericPciBusDevice for TestEndpoint {
    fn pci_cfg_read(&mut self, offset: u16, value: &mut u32) -> Option<IoResult> {
        self.pci_cfg_read_with_routing(0, 0, 0, offset, value)
    }

    fn pci_cfg_write(&mut self, offset: u16, value: u32) -> Option<IoResult> {
        self.pci_cfg_write_bytes_with_routing(0, 0, 0, offset, value, ByteEnables::ALL)
    }

    fn pci_cfg_write_bytes(
        &mut self,
        offset: u16,
        value: u32,
        enables: ByteEnables,
    ) -> Option<IoResult> {
        self.pci_cfg_write_bytes_with_routing(0, 0, 0, offset, value, enables)
    }

    #[inline]
    fn pci_cfg_read_with_routing(
        &mut self,
        secondary_bus: u8,
        target_bus: u8,
        function: u8,
        offset: u16,
        value: &mut u32,
    ) -> Option<IoResult> {
        *value = match self.images.get(usize::from(function)) {
            Some(image) if target_bus == secondary_bus => match image.read(offset) {
                Some(value) => value,
                None => return self.read_elsewhere(function, offset, value),
            },
            Some(_) | None => u32::MAX,
        };
        Some(IoResult::Ok)
    }

    fn pci_cfg_write_with_routing(
        &mut self,
        secondary_bus: u8,
        target_bus: u8,
        function: u8,
        offset: u16,
        value: u32,
    ) -> Option<IoResult> {
        self.pci_cfg_write_bytes_with_routing(
            secondary_bus,
            target_bus,
            function,
            offset,
            value,
            ByteEnables::ALL,
        )
    }

    fn pci_cfg_write_bytes_with_routing(
        &mut self,
        secondary_bus: u8,
        target_bus: u8,
        function: u8,
        offset: u16,
        value: u32,
        enables: ByteEnables,
    ) -> Option<IoResult> {
        Some(match self.addressed(secondary_bus, target_bus, function) {
            Some(target) => {
                let (result, consequences) = target.write_config(offset, value, enables);
                if !consequences.is_empty() {
                    self.follow(consequences, target_bus, function);
                }
                result
            }
            None => IoResult::Ok,
        })
    }

    fn managed(&mut self) -> Option<&mut dyn ManagedDevice> {
        Some(self)
    }
}

impl ManagedDevice for TestEndpoint {
    fn reset(&mut self, kind: Reset) {
        for function in &mut self.functions {
            function.reset(kind);
        }
        self.retries_left = self.retries;
    }

    fn is_ready(&mut self) -> bool {
        let ready = self.retries_left == 0;
        self.retries_left = self.retries_left.saturating_sub(1);
        ready
    }

    fn set_multi_function(&mut self, multi_function: bool) {
        for function in &mut self.functions {
            function.cfg_space.set_multi_function_bit(multi_function);
        }
    }

    fn save(&mut self) -> Result<SavedStateBlob, SaveError> {
        ProtobufSaveRestore::save(self)
    }

    fn check(&mut self, state: &SavedStateBlob) -> Result<(), RestoreError> {
        ProtobufSaveRestore::check(self, state)
    }

    fn restore(&mut self, state: SavedStateBlob) -> Result<(), RestoreError> {
        ProtobufSaveRestore::restore(self, state)
    }

    fn link(&self) -> Option<LinkEnd> {
        let can = self.functions.first()?.cfg_space.pci_express()?.link_rate();
        Some(LinkEnd {
            speed: can.speed,
            width: can.width,
        })
    }

    fn link_trained(&mut self, LinkEnd { speed, width }: LinkEnd) {
        for function in &self.functions {
            if let Some(pcie) = function.cfg_space.pci_express() {
                pcie.insert_card(LinkRate { speed, width });
            }
        }
    }

    fn io_read(&mut self, port: u16, data: &mut [u8]) -> Option<IoResult> {
        let (function, offset) = self.io(port)?;
        Some(function.io_read(offset, data))
    }

    fn io_write(&mut self, port: u16, data: &[u8]) -> Option<IoResult> {
        let (function, offset) = self.io(port)?;
        Some(function.io_write(offset, data))
    }

    fn upstream_changed(&mut self, upstream: &Upstream) {
        for function in &mut self.functions {
            function.cfg_space.set_upstream(upstream);
        }
    }

    fn wire_intx(&mut self, lines: &IntxLines) {
        for (i, function) in self.functions.iter().enumerate() {
            if let Some((pin, intx)) = &function.intx {
                intx.wire(lines.line(&format!("{}.{i}", self.name), *pin));
            }
        }
    }

    fn joined(&mut self, fabric: &Fabric, _name: &Arc<str>) {
        self.fabric = fabric.clone();
    }

    fn stimulate(
        &mut self,
        name: &str,
        function: u8,
        stimulus: Stimulus,
    ) -> Result<(), StimulusError> {
        let Some(found) = self.functions.get_mut(usize::from(function)) else {
            let name = name.to_owned();
            return Err(StimulusError::NoFunction { name, function });
        };
        found.cfg_space.stimulate(name, stimulus)?;
        self.fabric.announce_message();
        Ok(())
    }

    fn take_messages(&mut self, bus: u8) -> Vec<Message> {
        let functions = (0..=u8::MAX).zip(&mut self.functions);
        functions
            .flat_map(|(number, function)| {
                let source = Bdf::from_devfn(bus, number);
                function.cfg_space.take_messages(source)
            })
            .collect()
    }

    fn retransmit_pme(&mut self) {
        for function in &mut self.functions {
            function.cfg_space.retransmit_pme();
        }
    }

    fn mmio_read(&mut self, address: u64, data: &mut [u8]) -> Option<IoResult> {
        self.functions.iter_mut().find_map(|function| {
            let (bar, offset) = function.cfg_space.find_bar(address)?;
            Some(function.mmio_read(bar, offset, data))
        })
    }

    fn mmio_write(&mut self, address: u64, data: &[u8]) -> Option<IoResult> {
        self.functions.iter_mut().find_map(|function| {
            let (bar, offset) = function.cfg_space.find_bar(address)?;
            Some(function.mmio_write(bar, offset, data))
        })
    }
}

impl TestEndpoint {
    fn io(&mut self, port: u16) -> Option<(&mut EndpointFunction, u64)> {
        self.functions.iter_mut().find_map(|function| {
            let (_, offset) = function.cfg_space.find_io_bar(port)?;
            Some((function, offset))
        })
    }
}

impl InspectMut for TestEndpoint {
    fn inspect_mut(&mut self, req: inspect::Request<'_>) {
        let mut resp = req.respond();
        resp.field("name", &*self.name);
        resp.child("functions", |req| {
            let mut resp = req.respond();
            for (i, function) in self.functions.iter().enumerate() {
                resp.field(&i.to_string(), function);
            }
        });
    }
}
