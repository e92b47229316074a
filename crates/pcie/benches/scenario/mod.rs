//! What the config path is measured on: a root complex of 1 to 256 ports, with an endpoint behind 0 to 8 switches.

use chipset_device::io::IoResult;
use chipset_device::mmio::ExternallyManagedMmioIntercepts;
use chipset_device::mmio::MmioIntercept;
use memory_range::MemoryRange;
use pci_bus::GenericPciBusDevice;
use pci_core::capabilities::pci_express::PciExpressCapability;
use pci_core::cfg_space_emu::ConfigSpaceType0Emulator;
use pci_core::cfg_space_emu::DeviceBars;
use pci_core::msi::MsiTarget;
use pci_core::spec::caps::pci_express::DevicePortType;
use pci_core::spec::hwid::ClassCode;
use pci_core::spec::hwid::HardwareIds;
use pci_core::spec::hwid::ProgrammingInterface;
use pci_core::spec::hwid::Subclass;
use pcie::PortConfig;
use pcie::root::GenericPcieRootComplex;
use pcie::switch::SwitchConfig;

const ECAM: u64 = 0xe000_0000;

/// What is read.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A root port's own registers.
    RootPort,
    /// An endpoint behind this many switches.
    Endpoint { levels: u8 },
}

impl Target {
    /// All that are measured, with their names.
    pub(crate) const ALL: [(&'static str, Self); 6] = [
        ("root_port", Self::RootPort),
        ("endpoint", Self::Endpoint { levels: 0 }),
        ("switch_1", Self::Endpoint { levels: 1 }),
        ("switch_2", Self::Endpoint { levels: 2 }),
        ("switch_3", Self::Endpoint { levels: 3 }),
        ("switch_8", Self::Endpoint { levels: 8 }),
    ];
}

/// Numbers of root ports that are measured.
pub(crate) const PORTS: [u16; 3] = [1, 32, 256];

/// A root complex with the bus numbers a guest would have given, and the address that reads the target's first dword.
pub(crate) struct Scenario {
    pub(crate) root: GenericPcieRootComplex,
    pub(crate) address: u64,
    pub(crate) expected: u32,
}

impl Scenario {
    /// The target hangs below the last port: were ports searched in turn, it would be the slowest.
    pub(crate) fn new(target: Target, ports: u16) -> Self {
        let mut builder =
            GenericPcieRootComplex::builder(0, 255, MemoryRange::new(ECAM..ECAM + (256 << 20)));
        for i in 0..ports {
            let [devfn, _] = i.to_le_bytes();
            builder = builder.port(PortConfig::new(format!("rp{i}"), devfn >> 3, devfn & 7));
        }
        let mut root = builder
            .build(
                &mut ExternallyManagedMmioIntercepts,
                &MsiTarget::disconnected(),
            )
            .unwrap();
        let [last, _] = (ports - 1).to_le_bytes();
        let root_port = u64::from(last) << 12;
        let Target::Endpoint { levels } = target else {
            return Self {
                root,
                address: ECAM + root_port,
                expected: 0xc030_1414,
            };
        };
        let mut device: Box<dyn GenericPciBusDevice> = Box::new(Endpoint::new());
        for level in (0..levels).rev() {
            let mut config = SwitchConfig::new(format!("sw{level}"));
            config.ports = vec![PortConfig::new(format!("sw{level}-dsp0"), 0, 0)];
            let mut switch = config.build(&MsiTarget::disconnected(), None).unwrap();
            switch.add_pcie_device(0, "below", device).unwrap();
            device = switch.into_device();
        }
        root.add_pcie_device(last, "device", device).unwrap();
        // Each switch takes two buses: the one it is on, and the one between its ports.
        let deepest = 1 + 2 * u64::from(levels);
        let mut number = |bus: u64, devfn: u64, primary: u64, secondary: u64| {
            let value = u32::try_from(primary | (secondary << 8) | (deepest << 16)).unwrap();
            let address = ECAM + (bus << 20) + (devfn << 12) + 0x18;
            root.mmio_write(address, &value.to_le_bytes()).unwrap();
        };
        number(0, last.into(), 0, 1);
        for level in 0..u64::from(levels) {
            let bus = 1 + 2 * level;
            number(bus, 0, bus, bus + 1);
            number(bus + 1, 0, bus + 1, bus + 2);
        }
        Self {
            root,
            address: ECAM + (deepest << 20),
            expected: 0x5678_1234,
        }
    }

    /// One 4-byte read.
    #[inline]
    pub(crate) fn read(&mut self) -> u32 {
        let mut data = [0; 4];
        self.root.mmio_read(self.address, &mut data).unwrap();
        u32::from_le_bytes(data)
    }
}

/// An endpoint as a device author writes it.
struct Endpoint(ConfigSpaceType0Emulator);

impl Endpoint {
    fn new() -> Self {
        let ids = HardwareIds {
            vendor_id: 0x1234,
            device_id: 0x5678,
            revision_id: 0,
            prog_if: ProgrammingInterface::NONE,
            sub_class: Subclass::NONE,
            base_class: ClassCode::UNCLASSIFIED,
            type0_sub_vendor_id: 0,
            type0_sub_system_id: 0,
        };
        let pcie = PciExpressCapability::new(DevicePortType::Endpoint, None);
        Self(ConfigSpaceType0Emulator::new(
            ids,
            vec![Box::new(pcie)],
            vec![],
            DeviceBars::new(),
        ))
    }
}

impl GenericPciBusDevice for Endpoint {
    fn pci_cfg_read(&mut self, offset: u16, value: &mut u32) -> Option<IoResult> {
        Some(self.0.read_u32(offset, value))
    }

    fn pci_cfg_write(&mut self, offset: u16, value: u32) -> Option<IoResult> {
        Some(self.0.write_u32(offset, value))
    }
}

/// What anything in this shape costs at least: one table look-up and one call through a trait object.
pub(crate) struct BareLookup {
    table: Box<[u16; 256]>,
    devices: Vec<Box<dyn GenericPciBusDevice>>,
}

impl BareLookup {
    pub(crate) fn new() -> Self {
        struct Word(u32);
        impl GenericPciBusDevice for Word {
            fn pci_cfg_read(&mut self, _offset: u16, value: &mut u32) -> Option<IoResult> {
                *value = self.0;
                Some(IoResult::Ok)
            }
            fn pci_cfg_write(&mut self, _offset: u16, value: u32) -> Option<IoResult> {
                self.0 = value;
                Some(IoResult::Ok)
            }
        }
        let mut table = Box::new([u16::MAX; 256]);
        table[1] = 0;
        Self {
            table,
            devices: vec![Box::new(Word(0x5678_1234))],
        }
    }

    #[inline]
    pub(crate) fn read(&mut self, bus: u8) -> u32 {
        let mut value = u32::MAX;
        let index = self.table[usize::from(bus)];
        if let Some(device) = self.devices.get_mut(usize::from(index)) {
            device.pci_cfg_read(0, &mut value).unwrap().unwrap();
        }
        value
    }
}
