//! The ACPI tables, and where each goes.

mod cedt;
mod dsdt;
mod dsm;
mod encode;
mod fadt;
mod host_bridge;
mod madt;
mod mcfg;
mod osc;
mod srat;

use crate::Error;
use crate::Platform;
use crate::validate;
use acpi_tables::rsdp::Rsdp;
use acpi_tables::sdt::Sdt;
use acpi_tables::xsdt::XSDT;
use encode::encode;
use pcie_topology::AddressRange;
use std::ops::Range;

const OEM_ID: [u8; 6] = *b"ROOTPX";
const OEM_TABLE_ID: [u8; 8] = *b"ROOTPLEX";
const OEM_REVISION: u32 = 1;
/// Bytes of a table before its own.
const HEADER_LEN: u32 = 36;
/// What tables are placed at multiples of.
const TABLE_ALIGN: u64 = 16;

/// ACPI tables (ACPI 6.5), ready to be copied to guest memory.
///
/// The machine is hardware-reduced (ACPI 6.5 section 4.1): it has no PM timer, no fixed events and no FACS. It says that it has no 8042,
/// no VGA and no CMOS clock, so that no guest looks for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcpiTables {
    /// The Root System Description Pointer. Where it goes is up to the boot protocol; it may be anywhere.
    pub rsdp: Vec<u8>,
    /// All other tables, for [`Self::base`].
    pub tables: Vec<u8>,
    /// The address that [`Self::tables`] must be copied to.
    pub base: u64,
    places: Vec<Range<usize>>,
}

impl AcpiTables {
    /// Writes the tables of a platform, to be copied into `room`.
    ///
    /// # Errors
    ///
    /// - there is no processor, or there are more than 4,096, or more than 256 host bridges;
    /// - two processors have an APIC ID, two host bridges a `_UID`, two ports of a bus a place, two ports a slot number;
    /// - an address range is empty, reaches beyond its address space, is misaligned or overlaps another;
    /// - a host bridge's bus numbers are reversed, shared with another of its segment, or more than its ECAM has room for, or its ECAM
    ///   is at so low an address that bus 0 would be below address 0;
    /// - a port has a device number above 31, a function number above 7, a slot number above 8191 or a label that is not
    ///   printable ASCII;
    /// - some processors and memory have nodes, and others do not;
    /// - a CXL window goes to what is no CXL host bridge, or to as many as cannot be interleaved, or has a wrong granularity;
    /// - `room` is not at a multiple of 16, or too small.
    pub fn new(platform: &Platform, room: AddressRange) -> Result<Self, Error> {
        validate::platform(platform)?;
        validate::aligned(|| "the room for tables".into(), room.base, TABLE_ALIGN)?;
        let mut layout = Layout {
            room,
            tables: Vec::new(),
            places: Vec::new(),
        };
        let dsdt = layout.place(dsdt::table(platform).as_slice())?;
        let mut addresses = vec![layout.place(&encode(&fadt::table(platform, dsdt)).0)?];
        addresses.push(layout.place(madt::table(platform).as_slice())?);
        addresses.push(layout.place(&encode(&mcfg::table(&platform.host_bridges)).0)?);
        if platform.has_nodes() {
            addresses.push(layout.place(srat::table(platform).as_slice())?);
        }
        if platform.host_bridges.iter().any(|b| b.cxl.is_some()) {
            addresses.push(layout.place(cedt::table(platform).as_slice())?);
        }
        let mut xsdt = XSDT::new(OEM_ID, OEM_TABLE_ID, OEM_REVISION);
        for address in addresses {
            xsdt.add_entry(address);
        }
        let xsdt = layout.place(&encode(&xsdt).0)?;
        Ok(Self {
            rsdp: encode(&Rsdp::new(OEM_ID, xsdt)).0,
            tables: layout.tables,
            base: room.base,
            places: layout.places,
        })
    }

    /// The tables one by one, each as a tool reads it from a file. The first four bytes say which it is.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.places
            .iter()
            .filter_map(|place| self.tables.get(place.clone()))
    }
}

/// The tables placed so far.
struct Layout {
    room: AddressRange,
    tables: Vec<u8>,
    places: Vec<Range<usize>>,
}

impl Layout {
    /// Places a table, and gives its address.
    fn place(&mut self, table: &[u8]) -> Result<u64, Error> {
        while !(self.tables.len() as u64).is_multiple_of(TABLE_ALIGN) {
            self.tables.push(0);
        }
        let start = self.tables.len();
        self.tables.extend_from_slice(table);
        let needed = self.tables.len() as u64;
        if needed > self.room.size.0 || self.room.base.checked_add(needed).is_none() {
            return Err(Error::NoRoom {
                needed,
                room: self.room.size.0,
            });
        }
        self.places.push(start..self.tables.len());
        Ok(self.room.base + start as u64)
    }
}

/// A table with its header.
fn table(signature: &[u8; 4], revision: u8, body: &[u8]) -> Sdt {
    let mut table = Sdt::new(
        *signature,
        HEADER_LEN,
        revision,
        OEM_ID,
        OEM_TABLE_ID,
        OEM_REVISION,
    );
    table.append_slice(body);
    table
}
