//! A port's BAR: CXL component registers, MSI-X table, MSI-X pending bits.

use super::PcieDownstreamPort;
use super::PortBarDefinition;
use super::PortBarSubregionDefinition;
use super::PortBarSubregionKind;
use super::PortError;
use chipset_device::io::IoError;
use chipset_device::io::IoResult;
use cxl_spec::spec::CXL_COMPONENT_REGISTERS_SIZE_BYTES;
use inspect::Inspect;
use pci_core::capabilities::PciCapability;
use pci_core::capabilities::msix::MsixEmulator;
use pci_core::capabilities::msix::MsixLayout;
use pci_core::msi::MsiTarget;

/// Bytes of an MSI-X table entry.
const MSIX_ENTRY_BYTES: u64 = 16;

/// A port's BAR and the MSI-X registers in it; the component registers are the port's.
pub(super) struct PortBar {
    definition: PortBarDefinition,
    msix: Option<MsixEmulator>,
}

impl Inspect for PortBar {
    fn inspect(&self, req: inspect::Request<'_>) {
        let mut resp = req.respond();
        resp.field("index", self.definition.index)
            .hex("size_bytes", self.definition.size_bytes);
        for region in &self.definition.subregions {
            resp.field(
                &format!("{:?}", region.kind),
                format!("{:#x}:{:#x}", region.offset, region.size_bytes),
            );
        }
    }
}

impl PortBar {
    pub(super) fn new(definition: PortBarDefinition, msix: Option<MsixEmulator>) -> Self {
        Self { definition, msix }
    }

    /// Whether the guest uses MSI-X.
    pub(super) fn msix_enabled(&self) -> bool {
        self.msix.as_ref().is_some_and(MsixEmulator::enabled)
    }

    /// The part that an offset lies in, and the offset into that part.
    fn find(&self, offset: u64) -> Option<(PortBarSubregionKind, u64)> {
        self.definition.subregions.iter().find_map(|region| {
            let within = offset.checked_sub(region.offset)?;
            (within < region.size_bytes).then_some((region.kind, within))
        })
    }
}

/// Refuses a BAR that cannot be.
pub(super) fn check(port: &str, bar: &PortBarDefinition, is_cxl: bool) -> Result<(), PortError> {
    let port = || port.to_owned();
    if bar.index != 0 {
        return Err(PortError::BarIndex {
            port: port(),
            index: bar.index,
        });
    }
    for (i, region) in bar.subregions.iter().enumerate() {
        let end = region.offset.checked_add(region.size_bytes);
        if end.is_none_or(|end| end > bar.size_bytes) {
            return Err(PortError::Subregion {
                port: port(),
                kind: region.kind,
                offset: region.offset,
                size: region.size_bytes,
                bar: bar.size_bytes,
            });
        }
        if let Some(other) = bar
            .subregions
            .iter()
            .take(i)
            .find(|other| collide(other, region))
        {
            return Err(PortError::SubregionCollision {
                port: port(),
                first: other.kind,
                second: region.kind,
            });
        }
    }
    match find(bar, PortBarSubregionKind::CxlComponentRegisters) {
        None if is_cxl => return Err(PortError::NoComponentRegisters { port: port() }),
        Some(region)
            if !region
                .offset
                .is_multiple_of(CXL_COMPONENT_REGISTERS_SIZE_BYTES)
                || region.size_bytes != CXL_COMPONENT_REGISTERS_SIZE_BYTES =>
        {
            let (offset, size) = (region.offset, region.size_bytes);
            return Err(PortError::ComponentRegisters {
                port: port(),
                offset,
                size,
            });
        }
        Some(_) | None => {}
    }
    Ok(())
}

fn collide(a: &PortBarSubregionDefinition, b: &PortBarSubregionDefinition) -> bool {
    a.kind == b.kind || (a.offset < b.offset + b.size_bytes && b.offset < a.offset + a.size_bytes)
}

fn find(
    bar: &PortBarDefinition,
    kind: PortBarSubregionKind,
) -> Option<&PortBarSubregionDefinition> {
    bar.subregions.iter().find(|region| region.kind == kind)
}

/// Where in the BAR the component registers are.
pub(super) fn component_registers_offset(bar: &PortBarDefinition) -> Option<u64> {
    find(bar, PortBarSubregionKind::CxlComponentRegisters).map(|region| region.offset)
}

/// MSI-X registers in a BAR, and their capability.
type Msix = (MsixEmulator, Box<dyn PciCapability>);

/// The MSI-X registers that a BAR asks for, and their capability.
pub(super) fn msix(
    port: &str,
    bar: &PortBarDefinition,
    msi_target: &MsiTarget,
) -> Result<Option<Msix>, PortError> {
    let regions = (
        find(bar, PortBarSubregionKind::MsiXTable),
        find(bar, PortBarSubregionKind::MsiXPba),
    );
    let (table, pba) = match regions {
        (None, None) => return Ok(None),
        (Some(table), Some(pba)) => (table, pba),
        _ => {
            return Err(PortError::MsixHalf {
                port: port.to_owned(),
            });
        }
    };
    let narrow = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    let layout = MsixLayout {
        bar: bar.index,
        count: u16::try_from(table.size_bytes / MSIX_ENTRY_BYTES).unwrap_or(u16::MAX),
        table_offset: narrow(table.offset),
        pba_offset: narrow(pba.offset),
    };
    let (emulator, capability) =
        MsixEmulator::with_layout(layout, msi_target).map_err(|source| PortError::Msix {
            port: port.to_owned(),
            source,
        })?;
    if layout.pba_len() > pba.size_bytes {
        return Err(PortError::Subregion {
            port: port.to_owned(),
            kind: PortBarSubregionKind::MsiXPba,
            offset: pba.offset,
            size: layout.pba_len(),
            bar: pba.offset + pba.size_bytes,
        });
    }
    Ok(Some((emulator, Box::new(capability))))
}

impl PcieDownstreamPort {
    /// Which of the port's BARs claims an address, and the offset into it.
    #[inline]
    pub(crate) fn find_bar(&self, address: u64) -> Option<(u8, u64)> {
        self.cfg_space.find_bar(address)
    }

    /// Whether a BAR that the port has is beside that of [`PortBar`], or is the expansion ROM.
    pub(super) fn is_own(&self, bar: u8) -> bool {
        let fabric = self.bar.as_ref();
        fabric.is_none_or(|fabric| fabric.definition.index != bar)
    }

    /// Reads from the port's BAR. A BAR that does not exist reads all-ones; what lies between its parts, and registers that
    /// do not exist, read zero. `InvalidAccessSize` and `UnalignedAccess` unless the access has a size that the part takes
    /// and is naturally aligned.
    pub(crate) fn bar_mmio_read(&mut self, bar: u8, bar_offset: u64, data: &mut [u8]) -> IoResult {
        let Some(port_bar) = self
            .bar
            .as_ref()
            .filter(|port_bar| port_bar.definition.index == bar)
        else {
            data.fill(!0);
            return IoResult::Ok;
        };
        match port_bar.find(bar_offset) {
            Some((PortBarSubregionKind::CxlComponentRegisters, offset)) => {
                if let Err(error) = check_register_access(offset, data.len()) {
                    return IoResult::Err(error);
                }
                let (Some(registers), Ok(offset)) =
                    (&self.cxl_component_registers, u16::try_from(offset))
                else {
                    data.fill(0);
                    return IoResult::Ok;
                };
                match registers.read(offset, data) {
                    IoResult::Err(IoError::InvalidRegister) => {
                        data.fill(0);
                        IoResult::Ok
                    }
                    result => result,
                }
            }
            Some((PortBarSubregionKind::MsiXTable | PortBarSubregionKind::MsiXPba, _)) => {
                if let Err(error) = check_register_access(bar_offset, data.len()) {
                    return IoResult::Err(error);
                }
                for (dword, offset) in data.chunks_mut(4).zip((bar_offset..).step_by(4)) {
                    let value = port_bar
                        .msix
                        .as_ref()
                        .map_or(0, |msix| msix.read_u32(offset));
                    dword.copy_from_slice(&value.to_le_bytes());
                }
                IoResult::Ok
            }
            None => {
                data.fill(0);
                IoResult::Ok
            }
        }
    }

    /// Writes to the port's BAR. What does not exist ignores writes; errors as [`Self::bar_mmio_read`].
    pub(crate) fn bar_mmio_write(&mut self, bar: u8, bar_offset: u64, data: &[u8]) -> IoResult {
        let Some(port_bar) = self
            .bar
            .as_mut()
            .filter(|port_bar| port_bar.definition.index == bar)
        else {
            return IoResult::Ok;
        };
        match port_bar.find(bar_offset) {
            Some((PortBarSubregionKind::CxlComponentRegisters, offset)) => {
                if let Err(error) = check_register_access(offset, data.len()) {
                    return IoResult::Err(error);
                }
                let (Some(registers), Ok(offset)) =
                    (&mut self.cxl_component_registers, u16::try_from(offset))
                else {
                    return IoResult::Ok;
                };
                match registers.write(offset, data) {
                    IoResult::Err(IoError::InvalidRegister) => IoResult::Ok,
                    result => result,
                }
            }
            Some((PortBarSubregionKind::MsiXTable | PortBarSubregionKind::MsiXPba, _)) => {
                if let Err(error) = check_register_access(bar_offset, data.len()) {
                    return IoResult::Err(error);
                }
                if let Some(msix) = &mut port_bar.msix {
                    for (dword, offset) in data.chunks(4).zip((bar_offset..).step_by(4)) {
                        let value = dword
                            .first_chunk()
                            .map_or(0, |bytes| u32::from_le_bytes(*bytes));
                        msix.write_u32(offset, value);
                    }
                }
                IoResult::Ok
            }
            None => IoResult::Ok,
        }
    }
}

/// Component registers and MSI-X are reached by naturally aligned dwords and quadwords only (CXL 3.1 section 8.2.4, PCIe 6.2
/// section 7.7.2).
pub(crate) fn check_register_access(offset: u64, len: usize) -> Result<(), IoError> {
    match len {
        4 | 8 if offset.is_multiple_of(len as u64) => Ok(()),
        4 | 8 => Err(IoError::UnalignedAccess),
        _ => Err(IoError::InvalidAccessSize),
    }
}
