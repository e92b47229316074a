//! What answers an access: which exit goes where.
//!
//! Each root complex has a few [windows](Windows): ECAM, a CXL host bridge's registers, and the apertures for BARs, in memory and among
//! the ports. An access in one of them is that root complex's, which finds the register, or the BAR by where the guest put it.

use crate::absent;
use crate::exits::ExitCounters;
use crate::exits::ExitCounts;
use crate::exits::ExitKind;
use crate::power;
use crate::power::PowerRequest;
use crate::serial::SerialPort;
use chipset_device::ChipsetDevice;
use chipset_device::io::IoError;
use chipset_device::io::IoResult;
use chipset_device::io::deferred::DeferredToken;
use parking_lot::Mutex;
use pcie_topology::Hierarchy;
use pcie_topology::Topology;
use pcie_topology::Window;
use pcie_topology::WindowKind;
use pcie_topology::Windows;
use recording::Recorded;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;

/// Ports below are the machine's own, and those of devices that a PC has.
pub(crate) const IO_WINDOW_MIN: u64 = 0x1000;

/// The CXL windows that the description places, so that memory keeps clear of them; others are placed above memory. No access in
/// them gets to a device: nothing here decodes memory by HDM decoders.
pub(crate) fn fixed_cxl_windows(topology: &Topology) -> impl Iterator<Item = Window> {
    topology.cxl_window.iter().filter_map(|window| {
        let base = window.base?;
        Some(Window {
            name: format!("CXL window '{}'", window.name),
            kind: WindowKind::Memory,
            range: base..base.saturating_add(window.size.0),
            complex: 0,
        })
    })
}

/// Everything behind the exits of the processors. It needs no KVM, so that whatever dispatches accesses can be tested, and timed, with it.
///
/// ```
/// use chipset_device::mmio::ExternallyManagedMmioIntercepts;
/// use pcie_topology::Topology;
///
/// let topology = Topology::from_toml(r#"root_complex = [{ name = "rc0", ecam = 0xe000_0000, port = [{ name = "rp0" }] }]"#)?;
/// let hierarchy = topology.compose(&mut ExternallyManagedMmioIntercepts, None)?;
/// let bus = vmm::Bus::new(&topology, hierarchy);
/// let mut vendor_id = [0; 2];
/// bus.memory_read(0xe000_0000, &mut vendor_id);
/// assert_ne!(vendor_id, [0xff; 2], "the root port answers");
/// assert_eq!(bus.exits().to_string(), "1 exits: 1 configuration reads");
/// # Ok::<(), pcie_topology::Problems>(())
/// ```
pub struct Bus {
    pub(crate) hierarchy: Arc<Mutex<Recorded>>,
    windows: Windows,
    pub(crate) serial: Vec<Arc<SerialPort>>,
    pub(crate) exits: ExitCounters,
}

impl Bus {
    /// The bus of a machine with this hierarchy, which was composed of `topology`, and no serial ports.
    pub fn new(topology: &Topology, hierarchy: Hierarchy) -> Self {
        Self::with_serial(topology, hierarchy, Vec::new())
    }

    pub(crate) fn with_serial(
        topology: &Topology,
        hierarchy: Hierarchy,
        serial: Vec<Arc<SerialPort>>,
    ) -> Self {
        Self {
            hierarchy: Arc::new(Mutex::new(Recorded::new(hierarchy))),
            windows: Windows::new(topology),
            serial,
            exits: ExitCounters::default(),
        }
    }

    /// The hierarchy, and its recorder if there is one. Whoever holds the lock keeps the accesses of all processors waiting.
    pub fn hierarchy(&self) -> &Arc<Mutex<Recorded>> {
        &self.hierarchy
    }

    /// How often what was accessed.
    pub fn exits(&self) -> ExitCounts {
        self.exits.counts()
    }

    /// A processor reads from a port: 1, 2 or 4 bytes. More are those of a string instruction, which reads the same port again and again;
    /// its elements are taken to be bytes.
    pub fn port_read(&self, port: u16, data: &mut [u8]) {
        if let Some(serial) = self.serial.iter().find(|serial| serial.contains(port)) {
            self.exits.count(ExitKind::SerialRead);
            data.fill_with(|| serial.read(port));
        } else if let Some(value) = power::read(port).or(absent::read(port)) {
            self.exits.count(ExitKind::Port);
            data.fill(value);
        } else if let Some(window) = self.windows.at_port(port) {
            self.exits.count(ExitKind::IoRead);
            for element in data.chunks_mut(element_len(data.len())) {
                let result = self.hierarchy.lock().io_read(window, port, element);
                self.end_read(window, port.into(), element, result);
            }
        } else {
            self.exits.count(ExitKind::Port);
            // An empty bus floats high.
            data.fill(u8::MAX);
        }
    }

    /// A processor writes to a port: as [`Self::port_read`]. Gives what the guest asks for thereby.
    pub fn port_write(&self, port: u16, data: &[u8]) -> Option<PowerRequest> {
        if let Some(serial) = self.serial.iter().find(|serial| serial.contains(port)) {
            self.exits.count(ExitKind::SerialWrite);
            for byte in data {
                serial.write(port, *byte);
            }
            return None;
        }
        if let Some(window) = self.windows.at_port(port) {
            self.exits.count(ExitKind::IoWrite);
            for element in data.chunks(element_len(data.len())) {
                let result = self.hierarchy.lock().io_write(window, port, element);
                self.end_write(window, port.into(), element, result);
            }
            return None;
        }
        self.exits.count(ExitKind::Port);
        data.first().and_then(|value| power::write(port, *value))
    }

    /// A processor reads memory that is not the guest's own.
    pub fn memory_read(&self, address: u64, data: &mut [u8]) {
        let Some(window) = self.windows.at(address) else {
            self.exits.count(ExitKind::Unclaimed);
            data.fill(u8::MAX);
            return;
        };
        self.exits.count(match window.kind {
            WindowKind::Ecam => ExitKind::ConfigRead,
            WindowKind::HostBridge | WindowKind::Memory | WindowKind::Io => ExitKind::MemoryRead,
        });
        let result = self.hierarchy.lock().mmio_read(window, address, data);
        self.end_read(window, address, data, result);
    }

    /// A processor writes to memory that is not the guest's own.
    pub fn memory_write(&self, address: u64, data: &[u8]) {
        let Some(window) = self.windows.at(address) else {
            self.exits.count(ExitKind::Unclaimed);
            return;
        };
        self.exits.count(match window.kind {
            WindowKind::Ecam => ExitKind::ConfigWrite,
            WindowKind::HostBridge | WindowKind::Memory | WindowKind::Io => ExitKind::MemoryWrite,
        });
        let result = self.hierarchy.lock().mmio_write(window, address, data);
        self.end_write(window, address, data, result);
    }

    #[inline]
    fn end_read(&self, window: &Window, address: u64, data: &mut [u8], result: IoResult) {
        let error = match result {
            IoResult::Ok => return,
            IoResult::Err(error) => Some(error),
            IoResult::Defer(token) => {
                let ended = self.wait(window, token, |token, cx| token.poll_read(cx, data));
                let mut hierarchy = self.hierarchy.lock();
                hierarchy.deferred_read_ended(window, address, data, ended.is_ok());
                ended.err()
            }
        };
        if let Some(error) = error {
            tracelimit::warn_ratelimited!(address, len = data.len(), %error, "read refused");
        }
    }

    #[inline]
    fn end_write(&self, window: &Window, address: u64, data: &[u8], result: IoResult) {
        let error = match result {
            IoResult::Ok => return,
            IoResult::Err(error) => Some(error),
            IoResult::Defer(token) => self.wait(window, token, DeferredToken::poll_write).err(),
        };
        if let Some(error) = error {
            tracelimit::warn_ratelimited!(address, len = data.len(), %error, "write refused");
        }
    }

    /// Waits for an access that ends later. The processor stands still, the hierarchy does not: its lock is free meanwhile.
    fn wait(
        &self,
        window: &Window,
        mut token: DeferredToken,
        mut poll: impl FnMut(&mut DeferredToken, &mut Context<'_>) -> Poll<Result<(), IoError>>,
    ) -> Result<(), IoError> {
        pollster::block_on(poll_fn(|cx| {
            // The root complex may have to do its part first, such as writing back what it read for a narrow write.
            let mut hierarchy = self.hierarchy.lock();
            if let Some(complex) = hierarchy.as_mut().complexes.get_mut(window.complex)
                && let Some(device) = complex.root.supports_poll_device()
            {
                device.poll_device(cx);
            }
            drop(hierarchy);
            poll(&mut token, cx)
        }))
    }
}

/// Bytes of an access to a port that are one access to a device.
fn element_len(len: usize) -> usize {
    match len {
        2 | 4 => len,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chipset_device::mmio::ExternallyManagedMmioIntercepts;

    const TOPOLOGY: &str = r#"
        [[root_complex]]
        name = "rc0"
        buses = { start = 0, end = 15 }
        ecam = 0xe000_0000
        mmio32 = { base = 0xc000_0000, size = "256M" }
        mmio64 = { base = 0x40_0000_0000, size = "1G" }
        io = { base = 0x1000, size = "4K" }
        endpoint = [{ name = "e0", device = 4, bar = [{ kind = "32", size = "4K" }, { kind = "io", size = 64 }] }]

        [[root_complex]]
        name = "rc1"
        segment = 1
        buses = { start = 0, end = 15 }
        ecam = 0xe800_0000
        mmio32 = { base = 0xd000_0000, size = "256M" }
        endpoint = [{ name = "e1", device_id = 0xbeef }]
    "#;

    fn bus() -> Bus {
        let topology = Topology::from_toml(TOPOLOGY).unwrap();
        let hierarchy = topology
            .compose(&mut ExternallyManagedMmioIntercepts, None)
            .unwrap();
        Bus::new(&topology, hierarchy)
    }

    fn read(bus: &Bus, address: u64) -> u32 {
        let mut data = [0; 4];
        bus.memory_read(address, &mut data);
        u32::from_le_bytes(data)
    }

    #[test]
    fn memory_keeps_clear_of_a_cxl_window_that_is_placed() {
        let text = r#"
            root_complex = [{ name = "cxl0", ecam = 0xe000_0000, chbcr = 0xf000_0000 }]
            cxl_window = [
                { name = "anywhere", size = "1G", targets = ["cxl0"] },
                { name = "placed", base = 0x1_4000_0000, size = "1G", targets = ["cxl0"] },
            ]
        "#;
        let windows: Vec<_> = fixed_cxl_windows(&Topology::from_toml(text).unwrap()).collect();
        assert!(crate::memory::MemoryLayout::new(4096, &windows).is_ok());
        assert_eq!(
            crate::memory::MemoryLayout::new(4097 + 256, &windows)
                .unwrap_err()
                .to_string(),
            "memory of 4353 MiB reaches up to 0x150100000, into CXL window 'placed' at 0x140000000"
        );
    }

    #[test]
    fn configuration_space_and_bars_are_reached_and_counted() {
        let bus = bus();
        assert_eq!(read(&bus, 0xe800_0000) >> 16, 0xbeef);
        let function = 0xe000_0000 + (4 << 15);
        bus.memory_write(function + 0x10, &0xc000_1000u32.to_le_bytes());
        bus.memory_write(function + 0x04, &2u16.to_le_bytes());
        bus.memory_write(0xc000_1010, &0x1234_5678u32.to_le_bytes());
        assert_eq!(read(&bus, 0xc000_1010), 0x1234_5678);
        assert_eq!(read(&bus, 0x9000_0000), u32::MAX, "nothing is there");
        assert_eq!(read(&bus, 0xc000_2000), u32::MAX, "no BAR is there");
        let counts = bus.exits.counts();
        assert_eq!(
            counts.to_string(),
            "7 exits: 1 configuration reads, 2 configuration writes, 2 memory reads, 1 memory writes, 1 unclaimed accesses"
        );
    }

    #[test]
    fn ports_of_io_bars_are_reached_and_counted() {
        let bus = bus();
        let function = 0xe000_0000 + (4 << 15);
        let read = |port, len| {
            let mut data = vec![0; len];
            bus.port_read(port, &mut data);
            data
        };
        assert_eq!(read(0x1040, 4), [0xff; 4], "no BAR is there");
        bus.memory_write(function + 0x14, &0x1040u32.to_le_bytes());
        bus.memory_write(function + 0x04, &1u16.to_le_bytes());
        assert_eq!(bus.port_write(0x1044, &[1, 2, 3, 4]), None);
        assert_eq!(bus.port_write(0x1045, &[0xa5]), None);
        assert_eq!(read(0x1044, 4), [1, 0xa5, 3, 4]);
        assert_eq!(read(0x1046, 2), [3, 4]);
        // `rep outsb`, three bytes, and `rep insb`.
        assert_eq!(bus.port_write(0x1044, &[7, 8, 9]), None);
        assert_eq!(read(0x1044, 3), [9; 3]);
        assert_eq!(read(0x1080, 1), [0xff], "beside the BAR");
        assert_eq!(
            bus.exits().to_string(),
            "10 exits: 2 configuration writes, 5 I/O reads, 3 I/O writes"
        );
    }

    #[test]
    fn power_and_unknown_ports() {
        let bus = bus();
        let mut data = [0; 2];
        bus.port_read(0x70, &mut data);
        assert_eq!(data, [0xff; 2]);
        assert_eq!(bus.port_write(0x70, &[1]), None);
        assert_eq!(
            bus.port_write(power::RESET_PORT, &[power::RESET_VALUE]),
            Some(PowerRequest::Reset)
        );
    }
}
