//! A device whose functions were made apart from each other.

mod save_restore;

use crate::Fabric;
use crate::GenericPciBusDevice;
use crate::HotPlugPort;
use crate::IntxLines;
use crate::LinkEnd;
use crate::ManagedDevice;
use crate::Stimulus;
use crate::StimulusError;
use crate::Upstream;
use chipset_device::io::IoResult;
use chipset_device::pci::ByteEnables;
use inspect::InspectMut;
use pci_spec::Bdf;
use pci_spec::messages::Message;
use reg_table::Reset;
use std::sync::Arc;
use vmcore::save_restore::ProtobufSaveRestore;
use vmcore::save_restore::RestoreError;
use vmcore::save_restore::SaveError;
use vmcore::save_restore::SavedStateBlob;

/// Functions that cannot be one device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MultiFunctionError {
    /// Two functions have one number.
    #[error("function {number} is '{first}' and '{second}'; a number is one function's")]
    NumberTaken {
        /// The number.
        number: u8,
        /// The name of one.
        first: String,
        /// The name of the other.
        second: String,
    },
    /// There is no function 0, without which software finds none of the others (PCIe 6.2 section 7.5.1.1.9).
    #[error("there is no function 0, by which software finds the others")]
    NoFunction0,
}

/// Several functions as one device, to be attached to one port.
///
/// The functions arrive and leave together, so that software that finds function 0 finds them all. Functions from 8 on are reached where
/// the port forwards by ARI. Each function's interrupts carry its own number if it was composed with
/// `MsiTarget::with_devfn`.
///
/// ```
/// use pci_bus::{GenericPciBusDevice, MultiFunctionDevice, MultiFunctionError};
/// # use chipset_device::io::IoResult;
/// # struct Id(u32);
/// # impl GenericPciBusDevice for Id {
/// #     fn pci_cfg_read(&mut self, _: u16, value: &mut u32) -> Option<IoResult> { *value = self.0; Some(IoResult::Ok) }
/// #     fn pci_cfg_write(&mut self, _: u16, _: u32) -> Option<IoResult> { Some(IoResult::Ok) }
/// # }
/// # let (nic, disk, gpu) = (Id(0x1af4_1000), Id(0x1af4_1001), Id(0x1af4_1002));
/// let functions: [(u8, &str, Box<dyn GenericPciBusDevice>); 2] = [(1, "disk0", Box::new(disk)), (0, "nic0", Box::new(nic))];
/// let mut device = MultiFunctionDevice::new(functions)?;
/// let mut value = 0;
/// device.pci_cfg_read_with_routing(1, 1, 1, 0, &mut value);
/// assert_eq!(value, 0x1af4_1001);
///
/// let alone: [(u8, &str, Box<dyn GenericPciBusDevice>); 1] = [(1, "gpu0", Box::new(gpu))];
/// assert_eq!(MultiFunctionDevice::new(alone).err(), Some(MultiFunctionError::NoFunction0));
/// # Ok::<(), MultiFunctionError>(())
/// ```
pub struct MultiFunctionDevice {
    /// By number.
    functions: Vec<Option<Function>>,
    /// That of the first function that has one: a link is the device's, and all functions say the same of it.
    link: Option<LinkEnd>,
}

struct Function {
    name: Arc<str>,
    device: Box<dyn GenericPciBusDevice>,
}

impl MultiFunctionDevice {
    /// A device of functions with their numbers and names.
    ///
    /// # Errors
    ///
    /// - [`MultiFunctionError::NumberTaken`]: two functions have one number;
    /// - [`MultiFunctionError::NoFunction0`].
    pub fn new<'a>(
        functions: impl IntoIterator<Item = (u8, &'a str, Box<dyn GenericPciBusDevice>)>,
    ) -> Result<Self, MultiFunctionError> {
        let mut by_number: Vec<Option<Function>> = Vec::new();
        for (number, name, device) in functions {
            let index = usize::from(number);
            if by_number.len() <= index {
                by_number.resize_with(index + 1, || None);
            }
            let Some(slot) = by_number.get_mut(index) else {
                continue;
            };
            if let Some(first) = slot {
                return Err(MultiFunctionError::NumberTaken {
                    number,
                    first: first.name.to_string(),
                    second: name.to_owned(),
                });
            }
            let name = name.into();
            *slot = Some(Function { name, device });
        }
        if !matches!(by_number.first(), Some(Some(_))) {
            return Err(MultiFunctionError::NoFunction0);
        }
        let several = by_number.iter().flatten().count() > 1;
        let mut this = Self {
            functions: by_number,
            link: None,
        };
        for device in this.managed_functions() {
            device.set_multi_function(several);
        }
        let link = this.managed_functions().find_map(|device| device.link());
        this.link = link;
        Ok(this)
    }

    /// The functions whose lifecycle is the port's.
    fn managed_functions(&mut self) -> impl Iterator<Item = &mut dyn ManagedDevice> {
        let functions = self.functions.iter_mut().flatten();
        functions.filter_map(|function| function.device.managed())
    }

    fn function(&mut self, number: u8) -> Option<&mut Box<dyn GenericPciBusDevice>> {
        let function = self.functions.get_mut(usize::from(number))?.as_mut()?;
        Some(&mut function.device)
    }

    /// Routes an access: on the device's own bus to the function, else to whichever function the bus is below.
    fn route(
        &mut self,
        (secondary, target, function): (u8, u8, u8),
        mut access: impl FnMut(&mut dyn GenericPciBusDevice, u8) -> Option<IoResult>,
    ) -> Option<IoResult> {
        if secondary == target {
            return access(self.function(function)?.as_mut(), 0);
        }
        let functions = self.functions.iter_mut().flatten();
        functions
            .filter_map(|below| access(below.device.as_mut(), function))
            .next()
    }
}

impl GenericPciBusDevice for MultiFunctionDevice {
    fn pci_cfg_read(&mut self, offset: u16, value: &mut u32) -> Option<IoResult> {
        self.pci_cfg_read_with_routing(0, 0, 0, offset, value)
    }

    fn pci_cfg_write(&mut self, offset: u16, value: u32) -> Option<IoResult> {
        self.pci_cfg_write_with_routing(0, 0, 0, offset, value)
    }

    fn pci_cfg_write_bytes(
        &mut self,
        offset: u16,
        value: u32,
        enables: ByteEnables,
    ) -> Option<IoResult> {
        self.pci_cfg_write_bytes_with_routing(0, 0, 0, offset, value, enables)
    }

    fn pci_cfg_read_with_routing(
        &mut self,
        secondary: u8,
        target: u8,
        function: u8,
        offset: u16,
        value: &mut u32,
    ) -> Option<IoResult> {
        self.route((secondary, target, function), |device, function| {
            device.pci_cfg_read_with_routing(secondary, target, function, offset, value)
        })
    }

    fn pci_cfg_write_with_routing(
        &mut self,
        secondary: u8,
        target: u8,
        function: u8,
        offset: u16,
        value: u32,
    ) -> Option<IoResult> {
        self.route((secondary, target, function), |device, function| {
            device.pci_cfg_write_with_routing(secondary, target, function, offset, value)
        })
    }

    fn pci_cfg_write_bytes_with_routing(
        &mut self,
        secondary: u8,
        target: u8,
        function: u8,
        offset: u16,
        value: u32,
        enables: ByteEnables,
    ) -> Option<IoResult> {
        self.route((secondary, target, function), |device, function| {
            device.pci_cfg_write_bytes_with_routing(
                secondary, target, function, offset, value, enables,
            )
        })
    }

    fn managed(&mut self) -> Option<&mut dyn ManagedDevice> {
        Some(self)
    }
}

impl ManagedDevice for MultiFunctionDevice {
    fn reset(&mut self, kind: Reset) {
        for function in self.managed_functions() {
            function.reset(kind);
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

    fn mmio_read(&mut self, address: u64, data: &mut [u8]) -> Option<IoResult> {
        self.managed_functions()
            .find_map(|function| function.mmio_read(address, data))
    }

    fn mmio_write(&mut self, address: u64, data: &[u8]) -> Option<IoResult> {
        self.managed_functions()
            .find_map(|function| function.mmio_write(address, data))
    }

    fn io_read(&mut self, port: u16, data: &mut [u8]) -> Option<IoResult> {
        self.managed_functions()
            .find_map(|function| function.io_read(port, data))
    }

    fn io_write(&mut self, port: u16, data: &[u8]) -> Option<IoResult> {
        self.managed_functions()
            .find_map(|function| function.io_write(port, data))
    }

    fn upstream_changed(&mut self, upstream: &Upstream) {
        for function in self.managed_functions() {
            function.upstream_changed(upstream);
        }
    }

    fn wire_intx(&mut self, lines: &IntxLines) {
        for function in self.managed_functions() {
            function.wire_intx(lines);
        }
    }

    fn link(&self) -> Option<LinkEnd> {
        self.link
    }

    fn link_trained(&mut self, agreed: LinkEnd) {
        for function in self.managed_functions() {
            function.link_trained(agreed);
        }
    }

    fn joined(&mut self, fabric: &Fabric, _name: &Arc<str>) {
        for Function { name, device } in self.functions.iter_mut().flatten() {
            if let Some(device) = device.managed() {
                device.joined(fabric, name);
            }
        }
    }

    fn stimulate(
        &mut self,
        name: &str,
        function: u8,
        stimulus: Stimulus,
    ) -> Result<(), StimulusError> {
        let Some(device) = self.function(function) else {
            let name = name.to_owned();
            return Err(StimulusError::NoFunction { name, function });
        };
        match device.managed() {
            Some(device) => device.stimulate(name, 0, stimulus),
            None => Err(stimulus.refused_by(name)),
        }
    }

    fn stimulate_below(
        &mut self,
        name: &str,
        function: u8,
        stimulus: Stimulus,
    ) -> Option<Result<(), StimulusError>> {
        self.managed_functions()
            .find_map(|below| below.stimulate_below(name, function, stimulus))
    }

    fn take_messages(&mut self, bus: u8) -> Vec<Message> {
        let mut messages = Vec::new();
        for (number, function) in (0..=u8::MAX).zip(&mut self.functions) {
            let device = function.as_mut().and_then(|own| own.device.managed());
            let from = device.map(|device| device.take_messages(bus));
            // A function that was made apart takes itself for function 0. What comes from further below has a bus of its own.
            messages.extend(from.into_iter().flatten().map(|message| {
                if message.source == Bdf::from_devfn(bus, 0) {
                    let source = Bdf::from_devfn(bus, number);
                    Message { source, ..message }
                } else {
                    message
                }
            }));
        }
        messages
    }

    fn retransmit_pme(&mut self) {
        for function in self.managed_functions() {
            function.retransmit_pme();
        }
    }

    fn is_ready(&mut self) -> bool {
        // Each is asked: one that waits for being asked must not starve behind another.
        let mut ready = true;
        for function in self.managed_functions() {
            ready &= function.is_ready();
        }
        ready
    }

    fn awaits_device(&mut self, bus: u8) -> bool {
        self.managed_functions()
            .any(|function| function.awaits_device(bus))
    }

    fn port(&mut self, name: &str) -> Option<&mut dyn HotPlugPort> {
        self.managed_functions()
            .find_map(|function| function.port(name))
    }
}

impl InspectMut for MultiFunctionDevice {
    fn inspect_mut(&mut self, req: inspect::Request<'_>) {
        let mut resp = req.respond();
        resp.child("functions", |req| {
            let mut resp = req.respond();
            for (number, function) in self.functions.iter_mut().enumerate() {
                let Some(Function { name, device }) = function else {
                    continue;
                };
                resp.child(&number.to_string(), |req| {
                    let mut resp = req.respond();
                    resp.field("name", &**name);
                    if let Some(device) = device.managed() {
                        resp.child("device", |req| device.inspect_mut(req));
                    }
                });
            }
        });
    }
}
