//! Endpoints.

use super::CapabilitiesSpec;
use super::LinkSpec;
use super::PinSpec;
use super::SerialNumber;
use super::Size;
use super::is_default;
use crate::DeviceOptions;
use crate::TEST_KIND;
use serde::Deserialize;
use serde::Serialize;

/// An endpoint: what a [`TestEndpoint`](crate::TestEndpoint), or a device of another kind, is composed from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointSpec {
    /// Its name.
    pub name: String,
    /// What it is: `"test"` unless said, for a [`TestEndpoint`](crate::TestEndpoint); else something that a
    /// [`DeviceFactory`](crate::DeviceFactory) makes, which has one function, and its BARs and interrupts from its kind.
    #[serde(default = "test_kind", skip_serializing_if = "is_test_kind")]
    pub kind: String,
    /// Device number, 0 to 31, of an endpoint integrated in the root complex. Without it, the next device number that no other
    /// function of the bus asks for. Behind a port there is one device, and this is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<u8>,
    /// Function number, 0 to 7, of an integrated endpoint; 0 unless said.
    #[serde(default, skip_serializing_if = "is_default")]
    pub function: u8,
    /// A function of conventional PCI, integrated in the root complex: without PCI Express capability and extended configuration space, and
    /// so without what lies there (of the capabilities, all but power management). Advanced Features gives it function-level reset.
    #[serde(default, skip_serializing_if = "is_default")]
    pub conventional: bool,
    /// Vendor ID; 0x1414 unless said.
    #[serde(default = "default_vendor_id")]
    pub vendor_id: u16,
    /// Device ID; 0xc1e0 unless said.
    #[serde(default = "default_device_id")]
    pub device_id: u16,
    /// Class code, 24 bits: base class, sub-class, programming interface. 0xff0000 (fits no class) unless said, of a CXL device
    /// 0x050210 (CXL memory device).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<u32>,
    /// Revision ID.
    #[serde(default)]
    pub revision: u8,
    /// Subsystem vendor ID.
    #[serde(default)]
    pub subsystem_vendor_id: u16,
    /// Subsystem ID.
    #[serde(default)]
    pub subsystem_id: u16,
    /// Functions, 1 to 256, all alike. More than 8 need ARI forwarding in the port. An integrated endpoint has 1.
    #[serde(default = "one_function")]
    pub functions: u16,
    /// How many configuration requests it answers with Request Retry Status after it was plugged in or reset, until it is ready.
    #[serde(default, skip_serializing_if = "is_default")]
    pub retries: u32,
    /// BARs of each function.
    #[serde(default, skip_serializing_if = "is_default")]
    pub bar: Vec<BarSpec>,
    /// Bytes of each function's expansion ROM, a power of two from 4 KiB to 16 MiB; none unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rom: Option<Size>,
    /// Each function's INTx pin, `"A"` to `"D"`; none unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intx: Option<PinSpec>,
    /// MSI-X of each function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub msix: Option<MsixSpec>,
    /// MSI of each function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub msi: Option<MsiSpec>,
    /// The serial number; derived from the name unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial_number: Option<SerialNumber>,
    /// What its link can do, behind a port; 32 GT/s and 16 lanes unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<LinkSpec>,
    /// The optional capabilities of each function.
    #[serde(default, skip_serializing_if = "is_default")]
    pub capabilities: CapabilitiesSpec,
    /// Makes function 0 a CXL Type 3 device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cxl: Option<CxlDeviceSpec>,
    /// What the kind needs to know beyond this.
    #[serde(default, skip_serializing_if = "DeviceOptions::is_empty")]
    pub options: DeviceOptions,
}

fn test_kind() -> String {
    TEST_KIND.to_owned()
}

fn is_test_kind(kind: &str) -> bool {
    kind == TEST_KIND
}

const fn default_vendor_id() -> u16 {
    0x1414
}

const fn default_device_id() -> u16 {
    0xc1e0
}

const fn one_function() -> u16 {
    1
}

impl EndpointSpec {
    /// An endpoint of one function, without BARs and interrupts.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            kind: test_kind(),
            device: None,
            function: 0,
            conventional: false,
            vendor_id: default_vendor_id(),
            device_id: default_device_id(),
            class: None,
            revision: 0,
            subsystem_vendor_id: 0,
            subsystem_id: 0,
            functions: one_function(),
            retries: 0,
            bar: Vec::new(),
            rom: None,
            intx: None,
            msix: None,
            msi: None,
            serial_number: None,
            link: None,
            capabilities: CapabilitiesSpec::default(),
            cxl: None,
            options: DeviceOptions::default(),
        }
    }

    /// Whether it is a [`TestEndpoint`](crate::TestEndpoint).
    pub fn is_test(&self) -> bool {
        is_test_kind(&self.kind)
    }

    /// With one more BAR, in the lowest free slot.
    pub fn with_bar(mut self, kind: BarKind, size: u64) -> Self {
        self.bar.push(BarSpec {
            index: None,
            kind,
            size: Size(size),
            resizable: Vec::new(),
        });
        self
    }
}

/// A BAR of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BarSpec {
    /// Its number, 0 to 5; the lowest that is free unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u8>,
    /// Its kind; 32-bit unless said.
    #[serde(default)]
    pub kind: BarKind,
    /// Bytes, a power of two of at least 4 KiB, of an I/O BAR 4 to 256.
    pub size: Size,
    /// Other sizes that the guest may choose instead (PCIe 6.2 section 7.8.6), each a power of two from 1 MiB to 128 TiB; then `size`,
    /// which it has after a reset, is one as well. What lies in the BAR has to fit in the smallest.
    #[serde(default, skip_serializing_if = "is_default")]
    pub resizable: Vec<Size>,
}

impl BarSpec {
    /// All sizes that it may have, ascending.
    pub(crate) fn sizes(&self) -> Vec<u64> {
        let mut sizes: Vec<u64> = self.resizable.iter().map(|size| size.0).collect();
        sizes.push(self.size.0);
        sizes.sort_unstable();
        sizes.dedup();
        sizes
    }
}

/// Address space, width and prefetchability of a BAR (PCIe 6.2 section 7.5.1.2.1).
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum BarKind {
    /// 32-bit, non-prefetchable: `"32"`.
    #[default]
    #[serde(rename = "32")]
    Memory32,
    /// 64-bit, non-prefetchable: `"64"`. Takes two slots.
    #[serde(rename = "64")]
    Memory64,
    /// 64-bit, prefetchable: `"prefetchable"`. Takes two slots.
    #[serde(rename = "prefetchable")]
    Prefetchable,
    /// 32-bit, prefetchable: `"32-prefetchable"`.
    #[serde(rename = "32-prefetchable")]
    Memory32Prefetchable,
    /// I/O space: `"io"`.
    #[serde(rename = "io")]
    Io,
}

impl BarKind {
    /// Whether it takes the slot after its own as well.
    pub const fn is_64_bit(self) -> bool {
        matches!(self, Self::Memory64 | Self::Prefetchable)
    }

    /// How many slots it takes.
    pub(crate) const fn slots(self) -> u8 {
        if self.is_64_bit() { 2 } else { 1 }
    }
}

/// MSI-X (PCIe 6.2 section 7.7.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MsixSpec {
    /// Vectors, 1 to 2048.
    pub vectors: u16,
    /// The BAR that the table and the pending bits are in; 0 unless said. A port has them in no other.
    #[serde(default, skip_serializing_if = "is_default")]
    pub bar: u8,
    /// Offset of the table in the BAR, a multiple of 8. Unless said, the first after what else is in the BAR: after an
    /// endpoint's scratch page in BAR 0, after a port's component registers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<u32>,
    /// Offset of the pending bits, a multiple of 8; right after the table unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pba: Option<u32>,
}

impl MsixSpec {
    /// `vectors` vectors in BAR 0.
    pub const fn new(vectors: u16) -> Self {
        Self {
            vectors,
            bar: 0,
            table: None,
            pba: None,
        }
    }
}

/// MSI (PCIe 6.2 section 7.7.1), 64-bit and with masks for each vector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MsiSpec {
    /// Vectors: 1, 2, 4, 8, 16 or 32.
    pub vectors: u8,
}

/// A CXL Type 3 device: memory behind HDM decoders (CXL 3.1 sections 8.1.3 and 8.2.4.20).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CxlDeviceSpec {
    /// Bytes of memory, a multiple of 256 MiB.
    pub memory: Size,
    /// What the memory is.
    #[serde(default)]
    pub media: MediaType,
    /// HDM decoders: 1, 2, 4, 6, 8 or 10; 1 unless said.
    #[serde(default = "one_decoder")]
    pub hdm_decoders: u8,
    /// The BAR of the component registers; 0 unless said.
    #[serde(default, skip_serializing_if = "is_default")]
    pub bar: u8,
    /// Offset of the component registers in the BAR, 64 KiB at a multiple of 64 KiB; 64 KiB in BAR 0, after the scratch page, and
    /// 0 in another, unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component_registers: Option<u64>,
}

const fn one_decoder() -> u8 {
    1
}

impl CxlDeviceSpec {
    /// A device with `memory` bytes of volatile memory.
    pub const fn new(memory: u64) -> Self {
        Self {
            memory: Size(memory),
            media: MediaType::Volatile,
            hdm_decoders: one_decoder(),
            bar: 0,
            component_registers: None,
        }
    }
}

/// What a CXL device's memory is (CXL 3.1 section 8.1.3.8.2).
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MediaType {
    /// Volatile memory.
    #[default]
    #[serde(rename = "volatile")]
    Volatile,
    /// Non-volatile memory.
    #[serde(rename = "non_volatile")]
    NonVolatile,
}
