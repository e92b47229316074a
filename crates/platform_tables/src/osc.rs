//! What an operating system can be given control of, in the layout of `_OSC`.

use bitfield_struct::bitfield;

/// The control field of a host bridge's `_OSC` (PCI Firmware 3.3 table 4-6), its third dword. A bit that is set is granted when the
/// operating system asks for it.
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct PciControl {
    /// Native hot-plug of PCI Express slots.
    pub native_hot_plug: bool,
    /// Native hot-plug by the Standard Hot-Plug Controller.
    pub shpc_hot_plug: bool,
    /// Native power management events.
    pub pme: bool,
    /// Advanced Error Reporting.
    pub aer: bool,
    /// The PCI Express capability structure. Operating systems use nothing else here without it.
    pub capability_structure: bool,
    /// Latency Tolerance Reporting.
    pub ltr: bool,
    #[bits(1)]
    __: u8,
    /// Downstream Port Containment.
    pub dpc: bool,
    /// Completion timeouts.
    pub completion_timeout: bool,
    /// System Firmware Intermediary.
    pub sfi: bool,
    #[bits(22)]
    __: u32,
}

/// The CXL control field of a CXL host bridge's `_OSC` (CXL 3.1 section 9.18.2), its fifth dword.
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct CxlControl {
    /// Reporting of memory errors.
    pub memory_error_reporting: bool,
    #[bits(31)]
    __: u32,
}
