//! What answers an access: which exit goes where.
//!
//! Each root complex has a few windows: ECAM, a CXL host bridge's registers, and the apertures for BARs. An access in one of them is that
//! root complex's, which finds the register, or the BAR by where the guest put it. The windows never move, so finding the root complex
//! is a search in a short sorted table, and a device that is plugged in while the guest runs needs no registration.

use crate::absent;
use crate::exits::ExitCounters;
use crate::exits::ExitKind;
use crate::power;
use crate::power::PowerRequest;
use crate::serial::SerialPort;
use chipset_device::ChipsetDevice;
use chipset_device::io::IoError;
use chipset_device::io::IoResult;
use chipset_device::io::deferred::DeferredToken;
use parking_lot::Mutex;
use pcie_topology::AddressRange;
use pcie_topology::Complex;
use pcie_topology::Hierarchy;
use pcie_topology::RootComplexSpec;
use pcie_topology::Topology;
use std::future::poll_fn;
use std::ops::Range;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;

/// Addresses that are a root complex's.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    /// For messages.
    pub(crate) name: String,
    pub(crate) range: Range<u64>,
    /// Index of the root complex.
    pub(crate) complex: usize,
}

/// The windows of all root complexes, by address. A valid description has none that overlap.
pub(crate) fn windows(topology: &Topology) -> Vec<Window> {
    let mut windows: Vec<_> = topology
        .root_complex
        .iter()
        .enumerate()
        .flat_map(|(complex, spec)| windows_of(complex, spec))
        .collect();
    windows.sort_by_key(|window| window.range.start);
    windows
}

fn windows_of(complex: usize, spec: &RootComplexSpec) -> impl Iterator<Item = Window> {
    let parts: [(&str, Option<AddressRange>); 4] = [
        ("ECAM", Some(spec.ecam_range())),
        ("host bridge registers", spec.chbcr_range()),
        ("mmio32", spec.mmio32),
        ("mmio64", spec.mmio64),
    ];
    parts.into_iter().filter_map(move |(part, range)| {
        let range = range?;
        Some(Window {
            name: format!("{part} of '{}'", spec.name),
            range: range.base..range.end(),
            complex,
        })
    })
}

/// The CXL windows that the description places, so that memory keeps clear of them; others are placed above memory. No access in
/// them gets to a device: nothing here decodes memory by HDM decoders.
pub(crate) fn fixed_cxl_windows(topology: &Topology) -> impl Iterator<Item = Window> {
    topology.cxl_window.iter().filter_map(|window| {
        let base = window.base?;
        Some(Window {
            name: format!("CXL window '{}'", window.name),
            range: base..base.saturating_add(window.size.0),
            complex: 0,
        })
    })
}

/// The window that an address is in.
fn find(windows: &[Window], address: u64) -> Option<&Window> {
    let after = windows.partition_point(|window| window.range.start <= address);
    let window = windows.get(after.checked_sub(1)?)?;
    window.range.contains(&address).then_some(window)
}

/// Everything behind the exits of the processors.
pub(crate) struct Bus {
    pub(crate) hierarchy: Arc<Mutex<Hierarchy>>,
    windows: Vec<Window>,
    /// ECAM ranges, to count accesses by kind.
    ecam: Vec<Range<u64>>,
    pub(crate) serial: Vec<Arc<SerialPort>>,
    pub(crate) exits: ExitCounters,
}

impl Bus {
    pub(crate) fn new(
        topology: &Topology,
        hierarchy: Hierarchy,
        serial: Vec<Arc<SerialPort>>,
    ) -> Self {
        let ecam = topology.root_complex.iter().map(|spec| {
            let range = spec.ecam_range();
            range.base..range.end()
        });
        Self {
            hierarchy: Arc::new(Mutex::new(hierarchy)),
            windows: windows(topology),
            ecam: ecam.collect(),
            serial,
            exits: ExitCounters::default(),
        }
    }

    /// A processor reads from a port.
    pub(crate) fn port_read(&self, port: u16, data: &mut [u8]) {
        if let Some(serial) = self.serial.iter().find(|serial| serial.contains(port)) {
            self.exits.count(ExitKind::SerialRead);
            // A string instruction reads the same register again and again.
            data.fill_with(|| serial.read(port));
            return;
        }
        self.exits.count(ExitKind::Port);
        // An empty bus floats high.
        let value = power::read(port).or(absent::read(port));
        data.fill(value.unwrap_or(u8::MAX));
    }

    /// A processor writes to a port. Gives what the guest asks for thereby.
    pub(crate) fn port_write(&self, port: u16, data: &[u8]) -> Option<PowerRequest> {
        if let Some(serial) = self.serial.iter().find(|serial| serial.contains(port)) {
            self.exits.count(ExitKind::SerialWrite);
            for byte in data {
                serial.write(port, *byte);
            }
            return None;
        }
        self.exits.count(ExitKind::Port);
        data.first().and_then(|value| power::write(port, *value))
    }

    /// A processor reads memory that is not the guest's own.
    pub(crate) fn memory_read(&self, address: u64, data: &mut [u8]) {
        let Some(window) = find(&self.windows, address) else {
            self.exits.count(ExitKind::Unclaimed);
            data.fill(u8::MAX);
            return;
        };
        let (kind, of_error) = if self.is_ecam(address) {
            (ExitKind::ConfigRead, 0)
        } else {
            (ExitKind::MemoryRead, u8::MAX)
        };
        self.exits.count(kind);
        let result = self.with_root(window.complex, |complex| complex.mmio_read(address, data));
        let result = match result {
            IoResult::Ok => Ok(()),
            IoResult::Err(error) => Err(error),
            IoResult::Defer(token) => {
                self.wait(window.complex, token, |token, cx| token.poll_read(cx, data))
            }
        };
        if let Err(error) = result {
            tracelimit::warn_ratelimited!(address, len = data.len(), %error, "read refused");
            data.fill(of_error);
        }
    }

    /// A processor writes to memory that is not the guest's own.
    pub(crate) fn memory_write(&self, address: u64, data: &[u8]) {
        let Some(window) = find(&self.windows, address) else {
            self.exits.count(ExitKind::Unclaimed);
            return;
        };
        let kind = if self.is_ecam(address) {
            ExitKind::ConfigWrite
        } else {
            ExitKind::MemoryWrite
        };
        self.exits.count(kind);
        let result = self.with_root(window.complex, |complex| complex.mmio_write(address, data));
        let result = match result {
            IoResult::Ok => Ok(()),
            IoResult::Err(error) => Err(error),
            IoResult::Defer(token) => self.wait(window.complex, token, DeferredToken::poll_write),
        };
        if let Err(error) = result {
            tracelimit::warn_ratelimited!(address, len = data.len(), %error, "write refused");
        }
    }

    fn is_ecam(&self, address: u64) -> bool {
        self.ecam.iter().any(|range| range.contains(&address))
    }

    fn with_root(&self, complex: usize, access: impl FnOnce(&mut Complex) -> IoResult) -> IoResult {
        match self.hierarchy.lock().complexes.get_mut(complex) {
            Some(complex) => access(complex),
            None => IoResult::Err(IoError::NoResponse),
        }
    }

    /// Waits for an access that ends later. The processor stands still, the hierarchy does not: its lock is free meanwhile.
    fn wait(
        &self,
        complex: usize,
        mut token: DeferredToken,
        mut poll: impl FnMut(&mut DeferredToken, &mut Context<'_>) -> Poll<Result<(), IoError>>,
    ) -> Result<(), IoError> {
        pollster::block_on(poll_fn(|cx| {
            // The root complex may have to do its part first, such as writing back what it read for a narrow write.
            if let Some(complex) = self.hierarchy.lock().complexes.get_mut(complex)
                && let Some(device) = complex.root.supports_poll_device()
            {
                device.poll_device(cx);
            }
            poll(&mut token, cx)
        }))
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
        endpoint = [{ name = "e0", device = 4, bar = [{ kind = "32", size = "4K" }] }]

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
        Bus::new(&topology, hierarchy, Vec::new())
    }

    fn read(bus: &Bus, address: u64) -> u32 {
        let mut data = [0; 4];
        bus.memory_read(address, &mut data);
        u32::from_le_bytes(data)
    }

    #[test]
    fn an_address_is_found_in_its_window_and_not_beside_it() {
        let windows = windows(&Topology::from_toml(TOPOLOGY).unwrap());
        let name = |address| find(&windows, address).map(|window| window.name.as_str());
        for (address, expected) in [
            (0, None),
            (0xbfff_ffff, None),
            (0xc000_0000, Some("mmio32 of 'rc0'")),
            (0xcfff_ffff, Some("mmio32 of 'rc0'")),
            (0xd000_0000, Some("mmio32 of 'rc1'")),
            (0xe0ff_ffff, Some("ECAM of 'rc0'")),
            (0xe100_0000, None),
            (0xe800_0000, Some("ECAM of 'rc1'")),
            (0x40_3fff_ffff, Some("mmio64 of 'rc0'")),
            (0x40_4000_0000, None),
            (u64::MAX, None),
        ] {
            assert_eq!(name(address), expected, "{address:#x}");
        }
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
