//! Config space as plain bytes with write masks, routed by the bridges' bus numbers.

use pci_enumerate::{Bdf, ConfigAccess, Width};

pub(crate) const ROOT_PORT: u8 = 4;
pub(crate) const UPSTREAM: u8 = 5;
pub(crate) const DOWNSTREAM: u8 = 6;

const EXPRESS: usize = 0x40;

/// A function and what is behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Func {
    pub(crate) devfn: u8,
    pub(crate) bytes: Vec<u8>,
    writable: Vec<u8>,
    /// Bits that a write of one clears.
    rw1c: Vec<u8>,
    pub(crate) behind: Vec<Func>,
    /// How many more reads of the Vendor ID are answered with Request Retry Status.
    pub(crate) retries: u32,
    extended_end: usize,
    extended_last: usize,
}

impl Func {
    fn new(devfn: u8, header_type: u8) -> Self {
        let mut function = Self {
            devfn,
            bytes: vec![0; 4096],
            writable: vec![0; 4096],
            rw1c: vec![0; 4096],
            behind: Vec::new(),
            retries: 0,
            extended_end: 0x100,
            extended_last: 0,
        };
        function.set(0x00, &[0x14, 0x14, devfn, 0x00]);
        function.set(0x0e, &[header_type]);
        function.writable[0x04..0x06].copy_from_slice(&[0x47, 0x05]);
        // Status: errors that someone has yet to read.
        function.set(0x06, &[0x00, 0xf9]);
        function.rw1c[0x07] = 0xf9;
        function
    }

    pub(crate) fn endpoint(devfn: u8) -> Self {
        let mut function = Self::new(devfn, 0).express(0);
        function.set(0x09, &[0x02, 0x08, 0x01]);
        function
    }

    pub(crate) fn bridge(devfn: u8, port_type: u8, behind: Vec<Func>) -> Self {
        let mut function = Self::new(devfn, 1).express(port_type);
        function.set(0x09, &[0x00, 0x04, 0x06]);
        function.writable[0x18..0x1b].fill(0xff);
        // Secondary Status: errors that someone has yet to read.
        function.set(0x1e, &[0x00, 0xf9]);
        function.rw1c[0x1f] = 0xf9;
        function.behind = behind;
        function
            .io_window()
            .memory_window()
            .prefetchable_window(true)
    }

    pub(crate) fn slot(devfn: u8, hot_plug: bool, behind: Vec<Func>) -> Self {
        let mut function = Self::bridge(devfn, ROOT_PORT, behind);
        function.bytes[EXPRESS + 3] |= 1;
        let number = u32::from(devfn) + 1;
        let slot_capabilities = number << 19 | u32::from(hot_plug) << 6;
        function.set(EXPRESS + 0x14, &slot_capabilities.to_le_bytes());
        function
    }

    fn express(mut self, port_type: u8) -> Self {
        self.bytes[0x06] |= 0x10;
        self.bytes[0x34] = EXPRESS as u8;
        self.set(EXPRESS, &[0x10, 0x00, port_type << 4 | 2, 0x00]);
        self.set(EXPRESS + 0x24, &[0x20]);
        self.writable[EXPRESS + 0x28] = 0x20;
        // Root Capabilities: the retry status can be made visible.
        self.set(EXPRESS + 0x1e, &[1]);
        self.writable[EXPRESS + 0x1c] = 0x1f;
        self
    }

    pub(crate) fn conventional(mut self) -> Self {
        self.bytes[0x06] &= !0x10;
        self
    }

    pub(crate) fn without_ari_forwarding(mut self) -> Self {
        self.bytes[EXPRESS + 0x24] = 0;
        self
    }

    pub(crate) fn multi_function(mut self) -> Self {
        self.bytes[0x0e] |= 0x80;
        self
    }

    fn io_window(mut self) -> Self {
        self.writable[0x1c..0x1e].fill(0xf0);
        self
    }

    pub(crate) fn without_io_window(mut self) -> Self {
        self.writable[0x1c..0x1e].fill(0);
        self
    }

    fn memory_window(mut self) -> Self {
        self.mask(0x20, 0xfff0_fff0);
        self
    }

    pub(crate) fn prefetchable_window(mut self, wide: bool) -> Self {
        self.mask(0x24, 0xfff0_fff0);
        self.set(0x24, &(u32::from(wide) * 0x0001_0001).to_le_bytes());
        let upper = if wide { u32::MAX } else { 0 };
        self.mask(0x28, upper);
        self.mask(0x2c, upper);
        self
    }

    pub(crate) fn without_prefetchable_window(mut self) -> Self {
        self = self.prefetchable_window(false);
        self.mask(0x24, 0);
        self
    }

    pub(crate) fn bar32(self, index: usize, size: u64, prefetchable: bool) -> Self {
        self.bar(
            index,
            (!(size - 1)) as u32,
            if prefetchable { 8 } else { 0 },
        )
    }

    pub(crate) fn bar64(self, index: usize, size: u64, prefetchable: bool) -> Self {
        let mask = !(size - 1);
        let low = self.bar(index, mask as u32, if prefetchable { 0xc } else { 4 });
        low.bar(index + 1, (mask >> 32) as u32, 0)
    }

    pub(crate) fn bar_io(self, index: usize, size: u64) -> Self {
        self.bar(index, !(size - 1) as u32, 1)
    }

    pub(crate) fn bar(mut self, index: usize, mask: u32, type_bits: u32) -> Self {
        let keep = if type_bits & 1 != 0 { 3 } else { 15 };
        let mask = if type_bits == 0 { mask } else { mask & !keep };
        self.mask(0x10 + 4 * index, mask);
        self.set(0x10 + 4 * index, &type_bits.to_le_bytes());
        self
    }

    pub(crate) fn rom(mut self, size: u64) -> Self {
        let offset = if self.bytes[0x0e] & 0x7f == 1 {
            0x38
        } else {
            0x30
        };
        self.mask(offset, !(size - 1) as u32 | 1);
        self
    }

    pub(crate) fn extended(mut self, id: u16, body: &[u8]) -> Self {
        let offset = self.extended_end;
        if self.extended_last != 0 {
            let link = (offset as u16) << 4 | 1;
            self.set(self.extended_last + 2, &link.to_le_bytes());
        }
        self.set(offset, &(1 << 16 | u32::from(id)).to_le_bytes());
        self.set(offset + 4, body);
        self.extended_last = offset;
        self.extended_end = offset + 4 + body.len();
        self
    }

    pub(crate) fn ari(self, next: u8) -> Self {
        self.extended(0x000e, &[0, next, 0, 0])
    }

    pub(crate) fn set(&mut self, offset: usize, bytes: &[u8]) {
        self.bytes[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    pub(crate) fn mask(&mut self, offset: usize, mask: u32) {
        self.writable[offset..offset + 4].copy_from_slice(&mask.to_le_bytes());
    }

    /// Nothing of the window whose base register is at `offset` can be written.
    pub(crate) fn mask_is_zero(&self, offset: usize) -> bool {
        self.writable[offset..offset + 2] == [0, 0]
    }

    pub(crate) fn dword(&self, offset: usize) -> u32 {
        u32::from_le_bytes(self.bytes[offset..offset + 4].try_into().unwrap())
    }

    pub(crate) fn word(&self, offset: usize) -> u16 {
        u16::from_le_bytes(self.bytes[offset..offset + 2].try_into().unwrap())
    }

    pub(crate) fn is_bridge(&self) -> bool {
        self.bytes[0x0e] & 0x7f == 1
    }

    pub(crate) fn port_type(&self) -> Option<u8> {
        (self.bytes[0x06] & 0x10 != 0).then(|| self.bytes[EXPRESS + 2] >> 4)
    }

    pub(crate) fn ari_forwarding(&self) -> bool {
        self.bytes[EXPRESS + 0x28] & 0x20 != 0
    }

    fn links_down(&self) -> bool {
        matches!(self.port_type(), Some(ROOT_PORT | DOWNSTREAM))
    }

    fn claims(&self, bus: u8) -> bool {
        let (secondary, subordinate) = (self.bytes[0x19], self.bytes[0x1a]);
        self.is_bridge() && secondary != 0 && (secondary..=subordinate).contains(&bus)
    }

    fn read(&mut self, offset: usize, width: Width) -> u32 {
        if offset == 0 && self.retries > 0 && width == Width::Dword {
            self.retries -= 1;
            return 0xffff_0001;
        }
        let bytes = &self.bytes[offset..offset + usize::from(width.bytes())];
        bytes
            .iter()
            .rev()
            .fold(0, |value, byte| value << 8 | u32::from(*byte))
    }

    fn write(&mut self, offset: usize, width: Width, value: u32) {
        let moves_addresses = match offset {
            0x10..0x18 => true,
            0x18..0x1c => !self.is_bridge(),
            0x1c..0x28 => true,
            0x28..0x34 => self.is_bridge(),
            _ => false,
        };
        assert!(
            !moves_addresses || self.word(4) & 3 == 0,
            "{offset:#x} is written while decoding is on"
        );
        let lanes = offset..offset + usize::from(width.bytes());
        for (lane, value) in lanes.zip(value.to_le_bytes()) {
            let mask = self.writable[lane];
            let byte = &mut self.bytes[lane];
            *byte = (*byte & !mask | value & mask) & !(value & self.rw1c[lane]);
        }
    }
}

/// A host bridge's root bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Machine {
    pub(crate) root_bus: u8,
    pub(crate) functions: Vec<Func>,
    pub(crate) waits: u32,
}

impl Machine {
    pub(crate) fn new(functions: Vec<Func>) -> Self {
        Self {
            root_bus: 0,
            functions,
            waits: 0,
        }
    }

    /// The function that an access to `bdf` reaches, by the bus numbers as they are.
    pub(crate) fn route(&mut self, bdf: Bdf) -> Option<&mut Func> {
        let mut devices = &mut self.functions;
        let mut bus = self.root_bus;
        let mut last_device = 31;
        while bus != bdf.bus() {
            let claiming = devices.iter().filter(|function| function.claims(bdf.bus()));
            assert!(claiming.count() <= 1, "two bridges claim the bus of {bdf}");
            let bridge = devices
                .iter_mut()
                .find(|function| function.claims(bdf.bus()))?;
            bus = bridge.bytes[0x19];
            // Without ARI Forwarding a link's port terminates requests for other devices than 0.
            let narrow = bridge.links_down() && !bridge.ari_forwarding();
            last_device = if narrow { 0 } else { 31 };
            devices = &mut bridge.behind;
        }
        let mut devices = devices.iter_mut();
        devices.find(|function| function.devfn == bdf.devfn() && bdf.device() <= last_device)
    }
}

impl ConfigAccess for Machine {
    fn read(&mut self, bdf: Bdf, offset: u16, width: Width) -> u32 {
        assert_eq!(offset % width.bytes(), 0);
        match self.route(bdf) {
            Some(function) => function.read(offset.into(), width),
            None => width.mask(),
        }
    }

    fn write(&mut self, bdf: Bdf, offset: u16, width: Width, value: u32) {
        assert_eq!(offset % width.bytes(), 0);
        if let Some(function) = self.route(bdf) {
            function.write(offset.into(), width, value);
        }
    }

    fn wait(&mut self) {
        self.waits += 1;
    }
}
