//! What PCI Express keeps of conventional PCI: INTx pins and I/O windows.

use pci_core::PciInterruptPin;
use pci_core::spec::cfg_space::IoAddressing;
use serde::Deserialize;
use serde::Serialize;

/// An INTx pin (PCIe 6.2 section 7.5.1.1.13).
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PinSpec {
    /// INTA#: `"A"`.
    A,
    /// INTB#: `"B"`.
    B,
    /// INTC#: `"C"`.
    C,
    /// INTD#: `"D"`.
    D,
}

impl From<PinSpec> for PciInterruptPin {
    fn from(pin: PinSpec) -> Self {
        match pin {
            PinSpec::A => Self::IntA,
            PinSpec::B => Self::IntB,
            PinSpec::C => Self::IntC,
            PinSpec::D => Self::IntD,
        }
    }
}

/// A port's I/O window, by the bits of its addresses (PCIe 6.2 section 7.5.1.3.6).
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IoWindowSpec {
    /// 16 bits: `"16"`.
    #[serde(rename = "16")]
    Bits16,
    /// 32 bits: `"32"`.
    #[serde(rename = "32")]
    Bits32,
}

impl From<IoWindowSpec> for IoAddressing {
    fn from(window: IoWindowSpec) -> Self {
        match window {
            IoWindowSpec::Bits16 => Self::Bits16,
            IoWindowSpec::Bits32 => Self::Bits32,
        }
    }
}
