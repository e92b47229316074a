//! A guest in front of a composed hierarchy: ECAM and memory accesses, and an interrupt controller.

use chipset_device::io::IoError;
use chipset_device::io::IoResult;
use chipset_device::mmio::ExternallyManagedMmioIntercepts;
use chipset_device::mmio::MmioIntercept;
use parking_lot::Mutex;
use pci_core::msi::SignalMsi;
use pcie_topology::Hierarchy;
use pcie_topology::NamedFunction;
use pcie_topology::Topology;
use std::sync::Arc;

/// The demonstration that comes with the command line.
pub(crate) const DEMO: &str = include_str!("../../../rootplex/examples/demo.toml");

/// Interrupts as they came: requester, address, data.
#[derive(Clone, Default)]
pub(crate) struct Interrupts(Arc<Mutex<Vec<(u32, u64, u32)>>>);

impl SignalMsi for Interrupts {
    fn signal_msi(&self, devid: Option<u32>, address: u64, data: u32) {
        self.0.lock().push((devid.unwrap(), address, data));
    }
}

impl Interrupts {
    pub(crate) fn take(&self) -> Vec<(u32, u64, u32)> {
        std::mem::take(&mut self.0.lock())
    }
}

pub(crate) struct Machine {
    pub(crate) hierarchy: Hierarchy,
    pub(crate) interrupts: Interrupts,
}

impl Machine {
    pub(crate) fn new(topology: &Topology) -> Self {
        let interrupts = Interrupts::default();
        let msi: Arc<dyn SignalMsi> = Arc::new(interrupts.clone());
        let hierarchy = topology
            .compose(&mut ExternallyManagedMmioIntercepts, Some(msi))
            .unwrap();
        Self {
            hierarchy,
            interrupts,
        }
    }

    pub(crate) fn from_toml(text: &str) -> Self {
        Self::new(&Topology::from_toml(text).unwrap_or_else(|problems| panic!("{problems}")))
    }

    /// The function of this name (the `nth` of them), as it is now.
    pub(crate) fn function(&self, name: &str, nth: usize) -> NamedFunction {
        let mut found = self
            .hierarchy
            .functions()
            .into_iter()
            .filter(|function| function.name == name);
        found.nth(nth).unwrap_or_else(|| panic!("{name} {nth}"))
    }

    fn register(&mut self, name: &str, nth: usize, offset: u64) -> (usize, u64) {
        let function = self.function(name, nth);
        let bdf = function
            .bdf
            .unwrap_or_else(|| panic!("{name} has no bus number"));
        let of_bus = |complex: &pcie_topology::Complex| {
            complex.segment == function.segment
                && (complex.spec.buses.start..=complex.spec.buses.end).contains(&bdf.bus())
        };
        let complex = self.hierarchy.complexes.iter().position(of_bus).unwrap();
        let spec = &self.hierarchy.complexes[complex].spec;
        let bus = u64::from(bdf.bus() - spec.buses.start);
        (
            complex,
            spec.ecam + (bus << 20) + (u64::from(bdf.devfn()) << 12) + offset,
        )
    }

    pub(crate) fn config(&mut self, name: &str, nth: usize, offset: u64) -> u32 {
        let (complex, address) = self.register(name, nth, offset);
        let mut data = [0; 4];
        self.hierarchy.complexes[complex]
            .root
            .mmio_read(address, &mut data)
            .unwrap();
        u32::from_le_bytes(data)
    }

    pub(crate) fn set_config(&mut self, name: &str, nth: usize, offset: u64, bytes: &[u8]) {
        let (complex, address) = self.register(name, nth, offset);
        self.hierarchy.complexes[complex]
            .root
            .mmio_write(address, bytes)
            .unwrap();
    }

    /// Offset of a capability of the legacy list.
    pub(crate) fn capability(&mut self, name: &str, nth: usize, id: u32) -> Option<u64> {
        let mut at = u64::from(self.config(name, nth, 0x34) & 0xff);
        while at != 0 {
            let header = self.config(name, nth, at);
            if header & 0xff == id {
                return Some(at);
            }
            at = u64::from(header >> 8 & 0xff);
        }
        None
    }

    /// The extended capabilities: IDs and offsets.
    pub(crate) fn extended_capabilities(&mut self, name: &str, nth: usize) -> Vec<(u32, u64)> {
        let (mut found, mut at) = (Vec::new(), 0x100);
        while at != 0 {
            let header = self.config(name, nth, at);
            found.push((header & 0xffff, at));
            at = u64::from(header >> 20);
        }
        found
    }

    /// Sets ARI Forwarding Enable, bit 5 of Device Control 2.
    pub(crate) fn forward_by_ari(&mut self, port: &str) {
        let pcie = self.capability(port, 0, 0x10).unwrap();
        self.set_config(port, 0, pcie + 0x28, &[0x20, 0]);
    }

    /// Numbers the buses as firmware does, depth first, with every bridge's prefetchable window open for all addresses.
    pub(crate) fn number_buses(&mut self) {
        let mut next: Vec<u8> = self
            .hierarchy
            .complexes
            .iter()
            .map(|complex| complex.spec.buses.start + 1)
            .collect();
        let roots: Vec<_> = (0..next.len()).collect();
        for complex in roots {
            let names: Vec<_> = self
                .hierarchy
                .functions()
                .into_iter()
                .filter(|f| f.parent.is_none())
                .collect();
            for function in names {
                let start = self.hierarchy.complexes[complex].spec.buses.start;
                if function.bdf.unwrap().bus() == start {
                    self.number_below(&function, &mut next[complex]);
                }
            }
        }
    }

    fn number_below(&mut self, function: &NamedFunction, next: &mut u8) {
        use pcie_topology::FunctionKind;
        if matches!(
            function.kind,
            FunctionKind::Endpoint | FunctionKind::Integrated
        ) {
            return;
        }
        let primary = function.bdf.unwrap().bus();
        let secondary = *next;
        *next = next.wrapping_add(1);
        self.set_config(&function.name, 0, 0x18, &[primary, secondary, 0xff, 0]);
        let children: Vec<_> = self
            .hierarchy
            .functions()
            .into_iter()
            .filter(|child| child.parent.as_deref() == Some(&function.name))
            .collect();
        for child in children {
            let child = self
                .hierarchy
                .functions()
                .into_iter()
                .find(|now| now.path == child.path)
                .unwrap();
            self.number_below(&child, next);
        }
        let subordinate = next.wrapping_sub(1);
        self.set_config(
            &function.name,
            0,
            0x18,
            &[primary, secondary, subordinate, 0],
        );
        self.open_window(&function.name);
    }

    /// Opens a bridge's prefetchable window for all addresses, and enables memory decoding and bus mastering.
    fn open_window(&mut self, bridge: &str) {
        for (offset, value) in [(0x24, 0xfff0_0000_u32), (0x28, 0), (0x2c, u32::MAX)] {
            self.set_config(bridge, 0, offset, &value.to_le_bytes());
        }
        self.set_config(bridge, 0, 0x04, &[0x06, 0]);
    }

    /// As [`Self::open_window`], every bridge that has bus numbers.
    pub(crate) fn open_windows(&mut self) {
        use pcie_topology::FunctionKind;
        for function in self.hierarchy.functions() {
            let is_bridge = !matches!(
                function.kind,
                FunctionKind::Endpoint | FunctionKind::Integrated
            );
            if is_bridge && function.bdf.is_some() {
                self.open_window(&function.name);
            }
        }
    }

    /// Writes a 64-bit BAR, and enables memory decoding and bus mastering.
    pub(crate) fn place_bar(&mut self, name: &str, nth: usize, bar: u64, address: u64) {
        let [low, high] =
            [address & 0xffff_ffff, address >> 32].map(|half| u32::try_from(half).unwrap());
        self.set_config(name, nth, 0x10 + 4 * bar, &low.to_le_bytes());
        self.set_config(name, nth, 0x14 + 4 * bar, &high.to_le_bytes());
        self.set_config(name, nth, 0x04, &[0x06, 0]);
    }

    pub(crate) fn read(
        &mut self,
        complex: usize,
        address: u64,
        len: usize,
    ) -> Result<u64, IoError> {
        let mut data = [0; 8];
        match self.hierarchy.complexes[complex]
            .root
            .mmio_read(address, &mut data[..len])
        {
            IoResult::Ok => Ok(u64::from_le_bytes(data)),
            result => Err(result.now_or_never().unwrap_err()),
        }
    }

    pub(crate) fn write(
        &mut self,
        complex: usize,
        address: u64,
        value: u64,
        len: usize,
    ) -> Result<(), IoError> {
        self.hierarchy.complexes[complex]
            .root
            .mmio_write(address, &value.to_le_bytes()[..len])
            .now_or_never()
    }

    /// Each function in a line: where it is, its name, what is above it.
    pub(crate) fn listing(&self) -> String {
        let line = |function: NamedFunction| {
            let bdf = function.bdf.map_or("-".to_owned(), |bdf| bdf.to_string());
            let parent = function
                .parent
                .map_or(String::new(), |parent| format!(" below {parent}"));
            format!("{bdf} {} {:?}{parent}\n", function.name, function.kind)
        };
        self.hierarchy.functions().into_iter().map(line).collect()
    }
}
