//! The functions of one bus, and the way to the buses below: what a root complex and a switch have in common.

mod save_restore;

pub(crate) use save_restore::IntegratedState;

use crate::MAX_FUNCTIONS_PER_BUS;
use crate::claims::ClaimTable;
use crate::messages::Operated;
use crate::port::PcieDownstreamPort;
use crate::root::DownstreamPortInfo;
use chipset_device::io::IoResult;
use chipset_device::pci::ByteEnables;
use inspect::InspectMut;
use pci_bus::GenericPciBusDevice;
use pci_bus::HotPlugPort;
use pci_bus::IntxLines;
use pci_bus::Upstream;
use pci_core::capabilities::pci_express::PciExpressCapability;
use pci_core::cfg_space_emu::Effects;
use reg_table::Reset;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// What a function of the bus is.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are ports, and a box would be a step more on every access"
)]
pub(crate) enum Occupant {
    /// A port to buses below.
    Port(PcieDownstreamPort),
    /// An endpoint on the bus itself.
    Integrated {
        /// Its name.
        name: Arc<str>,
        /// The endpoint.
        device: Box<dyn GenericPciBusDevice>,
    },
}

impl Occupant {
    fn mmio_read(&mut self, address: u64, data: &mut [u8]) -> Option<IoResult> {
        match self {
            Self::Port(port) => port.mmio_read(address, data),
            Self::Integrated { device, .. } => device.managed()?.mmio_read(address, data),
        }
    }

    fn mmio_write(&mut self, address: u64, data: &[u8]) -> Option<IoResult> {
        match self {
            Self::Port(port) => port.mmio_write(address, data),
            Self::Integrated { device, .. } => device.managed()?.mmio_write(address, data),
        }
    }

    fn io_read(&mut self, port: u16, data: &mut [u8]) -> Option<IoResult> {
        match self {
            Self::Port(bridge) => bridge.io_read(port, data),
            Self::Integrated { device, .. } => device.managed()?.io_read(port, data),
        }
    }

    fn io_write(&mut self, port: u16, data: &[u8]) -> Option<IoResult> {
        match self {
            Self::Port(bridge) => bridge.io_write(port, data),
            Self::Integrated { device, .. } => device.managed()?.io_write(port, data),
        }
    }
}

/// A function and its place.
pub(crate) struct Function {
    pub(crate) devfn: u8,
    pub(crate) occupant: Occupant,
}

impl Function {
    /// The name, as far as inspection compares it.
    fn name(&self) -> &str {
        let name = match &self.occupant {
            Occupant::Port(port) => &*port.name,
            Occupant::Integrated { name, .. } => name,
        };
        name.trim_start_matches('/')
    }
}

/// Where the accesses for a bus go: the port in [`PortSet::functions`], and that port's secondary bus.
#[derive(Copy, Clone)]
struct Route {
    index: u16,
    secondary: u8,
}

/// In a table: nothing is there.
const NOWHERE: u16 = u16::MAX;
/// In the table of buses: the bus that the functions are on.
const HERE: u16 = u16::MAX - 1;

/// The functions of one bus, in order of device and function number, with a table of them and a table of the buses here and
/// below.
///
/// A bus that several ports claim goes to the one with the lowest device and function number; the bus of the functions
/// themselves is never a port's. A port whose secondary number is above its subordinate claims nothing, and neither does one
/// with both zero.
pub(crate) struct PortSet {
    functions: Vec<Function>,
    by_devfn: [u16; MAX_FUNCTIONS_PER_BUS],
    /// The functions in order of name, for inspection.
    by_name: Vec<u16>,
    by_bus: [Route; 256],
    /// Accesses that nobody answered (PCIe 6.2 section 2.3.1: Unsupported Request).
    unsupported_requests: u64,
    /// The port that an operator works.
    pub(crate) operated: Operated,
    /// Accesses for a device that was not ready (PCIe 6.2 section 2.3.1: Request Retry Status).
    request_retries: u64,
    claims: ClaimTable,
}

impl PortSet {
    /// The functions of a bus. Of two in one place, the first stays; callers refuse such before.
    pub(crate) fn new(mut functions: Vec<Function>) -> Self {
        functions.sort_by_key(|f| f.devfn);
        functions.dedup_by_key(|f| f.devfn);
        let mut by_devfn = [NOWHERE; MAX_FUNCTIONS_PER_BUS];
        for (index, function) in (0u16..).zip(&functions) {
            if let Some(entry) = by_devfn.get_mut(usize::from(function.devfn)) {
                *entry = index;
            }
        }
        let mut by_name: Vec<_> = (0..).take(functions.len()).collect();
        by_name.sort_by_key(|&index| functions.get(usize::from(index)).map(Function::name));
        let claims = ClaimTable::default();
        for function in &mut functions {
            if let Occupant::Port(port) = &mut function.occupant {
                port.claims_changed = claims.changed().clone();
            }
        }
        claims.changed().set();
        Self {
            functions,
            by_devfn,
            by_name,
            by_bus: [Route {
                index: NOWHERE,
                secondary: 0,
            }; 256],
            unsupported_requests: 0,
            operated: Operated::default(),
            request_retries: 0,
            claims,
        }
    }

    /// Makes the bus table anew: the functions are on the first bus of `buses`, and the ports' bus numbers say who gets the
    /// others.
    pub(crate) fn refresh(&mut self, buses: RangeInclusive<u8>) {
        self.claim_nothing();
        // From the last to the first: what the first claims, it gets.
        for (index, function) in self.functions.iter().enumerate().rev() {
            let (Occupant::Port(port), Ok(index)) = (&function.occupant, u16::try_from(index))
            else {
                continue;
            };
            let (secondary, subordinate) = port.bus_range().bus_range();
            if (secondary, subordinate) == (0, 0) {
                continue;
            }
            for bus in secondary.max(*buses.start())..=subordinate.min(*buses.end()) {
                if let Some(route) = self.by_bus.get_mut(usize::from(bus)) {
                    *route = Route { index, secondary };
                }
            }
        }
        if let Some(route) = self.by_bus.get_mut(usize::from(*buses.start())) {
            *route = Route {
                index: HERE,
                secondary: 0,
            };
        }
    }

    /// Empties the bus table.
    pub(crate) fn claim_nothing(&mut self) {
        self.by_bus.fill(Route {
            index: NOWHERE,
            secondary: 0,
        });
    }

    pub(crate) fn functions_mut(&mut self) -> &mut [Function] {
        &mut self.functions
    }

    /// The ports, for whoever attaches devices.
    pub(crate) fn port_infos(&self) -> Vec<DownstreamPortInfo> {
        self.ports()
            .map(|(devfn, port)| DownstreamPortInfo {
                port_number: devfn,
                name: port.name.as_str().into(),
                bus_range: port.bus_range(),
            })
            .collect()
    }

    pub(crate) fn ports(&self) -> impl Iterator<Item = (u8, &PcieDownstreamPort)> {
        self.functions.iter().filter_map(|f| match &f.occupant {
            Occupant::Port(port) => Some((f.devfn, port)),
            Occupant::Integrated { .. } => None,
        })
    }

    pub(crate) fn ports_mut(&mut self) -> impl Iterator<Item = (u8, &mut PcieDownstreamPort)> {
        self.functions
            .iter_mut()
            .filter_map(|f| match &mut f.occupant {
                Occupant::Port(port) => Some((f.devfn, port)),
                Occupant::Integrated { .. } => None,
            })
    }

    /// The positions in [`Self::functions`] of those that an inquiry may be for: those without a name, and those whose name
    /// begins with what the path has next.
    fn asked_for(&self, next: Option<&str>) -> Vec<u16> {
        let Some(next) = next else {
            return (0..).take(self.functions.len()).collect();
        };
        let name = |index: &u16| {
            self.functions
                .get(usize::from(*index))
                .map_or("", Function::name)
        };
        let nameless = self
            .by_name
            .iter()
            .take_while(|index| name(index).is_empty());
        let first = self.by_name.partition_point(|index| name(index) < next);
        let named = self.by_name.iter().skip(first);
        nameless
            .chain(named.take_while(|index| name(index).starts_with(next)))
            .copied()
            .collect()
    }

    /// The port at a place.
    pub(crate) fn port_at(&mut self, devfn: u8) -> Option<&mut PcieDownstreamPort> {
        match self.at(devfn)? {
            Occupant::Port(port) => Some(port),
            Occupant::Integrated { .. } => None,
        }
    }

    #[inline]
    fn at(&mut self, devfn: u8) -> Option<&mut Occupant> {
        let index = *self.by_devfn.get(usize::from(devfn))?;
        self.functions
            .get_mut(usize::from(index))
            .map(|f| &mut f.occupant)
    }

    /// Reads a function on the bus or below. `None`, with `value` as it was, when nobody answers.
    // Every level of the hierarchy is this function and one dynamic call; a second call would double that.
    #[inline(always)]
    pub(crate) fn read(
        &mut self,
        bus: u8,
        function: u8,
        offset: u16,
        value: &mut u32,
    ) -> Option<IoResult> {
        let route = *self.by_bus.get(usize::from(bus))?;
        match self
            .functions
            .get_mut(usize::from(route.index))
            .map(|f| &mut f.occupant)
        {
            Some(Occupant::Port(port)) => {
                port.forward_read(route.secondary, bus, function, offset, value)
            }
            Some(Occupant::Integrated { .. }) => None,
            None if route.index == HERE => self.read_here(bus, function, offset, value),
            None => self.unsupported(),
        }
    }

    // Kept apart so that the way through needs neither a stack frame nor saved registers.
    #[inline(never)]
    fn read_here(&mut self, bus: u8, devfn: u8, offset: u16, value: &mut u32) -> Option<IoResult> {
        match self.at(devfn) {
            Some(Occupant::Port(port)) => Some(port.cfg_space.read_u32(offset, value)),
            Some(Occupant::Integrated { device, .. }) => {
                device.pci_cfg_read_with_routing(bus, bus, 0, offset, value)
            }
            None => self.unsupported(),
        }
    }

    /// Writes the enabled bytes of a function on the bus or below. `None` when nobody takes it. Where the effects name bus
    /// numbers, the caller refreshes.
    pub(crate) fn write(
        &mut self,
        bus: u8,
        function: u8,
        offset: u16,
        value: u32,
        enables: ByteEnables,
    ) -> (Option<IoResult>, Effects) {
        let route = self.by_bus.get(usize::from(bus)).copied().unwrap_or(Route {
            index: NOWHERE,
            secondary: 0,
        });
        let result = match self
            .functions
            .get_mut(usize::from(route.index))
            .map(|f| &mut f.occupant)
        {
            Some(Occupant::Port(port)) => {
                port.forward_write(route.secondary, bus, function, offset, value, enables)
            }
            Some(Occupant::Integrated { .. }) => None,
            None if route.index == HERE => {
                return self.write_here(bus, function, offset, value, enables);
            }
            None => self.unsupported(),
        };
        (result, Effects::default())
    }

    fn write_here(
        &mut self,
        bus: u8,
        devfn: u8,
        offset: u16,
        value: u32,
        enables: ByteEnables,
    ) -> (Option<IoResult>, Effects) {
        let result = match self.at(devfn) {
            Some(Occupant::Port(port)) => match port.write(offset, value, enables) {
                Ok(effects) => return (Some(IoResult::Ok), effects),
                Err(error) => Some(IoResult::Err(error)),
            },
            Some(Occupant::Integrated { device, .. }) => {
                device.pci_cfg_write_bytes_with_routing(bus, bus, 0, offset, value, enables)
            }
            None => self.unsupported(),
        };
        (result, Effects::default())
    }

    /// Whether an access for a bus, which nobody answered, was for a device that is not ready yet; and if so, whether the guest asked
    /// the port here to see that.
    #[cold]
    #[inline(never)]
    pub(crate) fn request_retry(&mut self, bus: u8) -> Option<bool> {
        let route = *self.by_bus.get(usize::from(bus))?;
        let Occupant::Port(port) = &mut self.functions.get_mut(usize::from(route.index))?.occupant
        else {
            return None;
        };
        if !port.awaits_device(bus) {
            return None;
        }
        self.request_retries += 1;
        let pcie = port.cfg_space.pci_express();
        Some(pcie.is_some_and(PciExpressCapability::crs_software_visible))
    }

    #[cold]
    fn unsupported(&mut self) -> Option<IoResult> {
        self.unsupported_requests += 1;
        None
    }

    /// Reads memory that a function or a device below claims.
    pub(crate) fn mmio_read(&mut self, address: u64, data: &mut [u8]) -> Option<IoResult> {
        let claimant = self.claims().memory(address);
        self.first_answer(claimant, |occupant| occupant.mmio_read(address, data))
    }

    /// Writes memory that a function or a device below claims.
    pub(crate) fn mmio_write(&mut self, address: u64, data: &[u8]) -> Option<IoResult> {
        let claimant = self.claims().memory(address);
        self.first_answer(claimant, |occupant| occupant.mmio_write(address, data))
    }

    /// Reads from I/O ports that a device on the bus or below claims.
    pub(crate) fn io_read(&mut self, port: u16, data: &mut [u8]) -> Option<IoResult> {
        let claimant = self.claims().io(port);
        self.first_answer(claimant, |occupant| occupant.io_read(port, data))
    }

    /// Writes to I/O ports that a device on the bus or below claims.
    pub(crate) fn io_write(&mut self, port: u16, data: &[u8]) -> Option<IoResult> {
        let claimant = self.claims().io(port);
        self.first_answer(claimant, |occupant| occupant.io_write(port, data))
    }

    /// The table of what the ports claim, as of now.
    fn claims(&mut self) -> &ClaimTable {
        let functions = &self.functions;
        self.claims.refresh(|| {
            let ports = (0u16..).zip(functions);
            ports.filter_map(|(index, function)| match &function.occupant {
                Occupant::Port(port) => Some((index, port.claims())),
                Occupant::Integrated { .. } => None,
            })
        });
        &self.claims
    }

    /// Asks the port that claims an address, then the endpoints on the bus; and the other ports, too, if that port has nothing there:
    /// the guest may have made windows overlap.
    fn first_answer(
        &mut self,
        claimant: Option<u16>,
        mut access: impl FnMut(&mut Occupant) -> Option<IoResult>,
    ) -> Option<IoResult> {
        let claimed = claimant
            .and_then(|index| self.functions.get_mut(usize::from(index)))
            .and_then(|function| access(&mut function.occupant));
        if claimed.is_some() {
            return claimed;
        }
        self.functions
            .iter_mut()
            .filter(|f| claimant.is_some() || matches!(f.occupant, Occupant::Integrated { .. }))
            .find_map(|f| access(&mut f.occupant))
    }

    /// The bridges above let `upstream` through to the bus from now on.
    pub(crate) fn set_upstream(&mut self, upstream: &Upstream) {
        for function in &mut self.functions {
            match &mut function.occupant {
                Occupant::Port(port) => port.set_upstream(upstream),
                Occupant::Integrated { device, .. } => {
                    if let Some(device) = device.managed() {
                        device.upstream_changed(upstream);
                    }
                }
            }
        }
    }

    /// INTx of device d on the bus, and of what is below it, ends at `lines(d)`.
    pub(crate) fn wire_intx(&mut self, lines: impl Fn(u8) -> IntxLines) {
        for function in &mut self.functions {
            let lines = lines(function.devfn >> 3);
            match &mut function.occupant {
                Occupant::Port(port) => port.wire_intx(&lines),
                Occupant::Integrated { device, .. } => {
                    if let Some(device) = device.managed() {
                        device.wire_intx(&lines);
                    }
                }
            }
        }
    }

    /// The port of this name, here or below.
    pub(crate) fn find_port(&mut self, name: &str) -> Option<&mut dyn HotPlugPort> {
        self.functions
            .iter_mut()
            .find_map(|f| match &mut f.occupant {
                Occupant::Port(port) => port.find_port(name),
                Occupant::Integrated { .. } => None,
            })
    }

    /// Resets every function and all below. The caller refreshes afterwards.
    pub(crate) fn reset(&mut self, kind: Reset) {
        for function in &mut self.functions {
            match &mut function.occupant {
                Occupant::Port(port) => port.reset(kind),
                Occupant::Integrated { device, .. } => {
                    if let Some(device) = device.managed() {
                        device.reset(kind);
                    }
                }
            }
        }
    }
}

impl InspectMut for PortSet {
    fn inspect_mut(&mut self, req: inspect::Request<'_>) {
        let mut resp = req.respond();
        resp.counter("unsupported_requests", self.unsupported_requests);
        resp.counter("request_retries", self.request_retries);
        for index in self.asked_for(resp.asked_for()) {
            let Some(function) = self.functions.get_mut(usize::from(index)) else {
                continue;
            };
            let devfn = function.devfn;
            let place = || format!("{:02x}.{}", devfn >> 3, devfn & 7);
            match &mut function.occupant {
                Occupant::Port(port) => {
                    let name = port.name.clone();
                    resp.child(&name, |req| {
                        let mut resp = req.respond();
                        resp.field_with("device_function", place);
                        resp.merge(port);
                    });
                }
                Occupant::Integrated { name, device } => {
                    resp.child(name, |req| {
                        let mut resp = req.respond();
                        resp.field_with("device_function", place);
                        if let Some(device) = device.managed() {
                            resp.child("device", |req| device.inspect_mut(req));
                        }
                    });
                }
            }
        }
    }
}
