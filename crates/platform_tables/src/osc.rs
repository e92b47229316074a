//! What an operating system can be given control of, in the layout of `_OSC`.

use bitfield_struct::bitfield;
use pcie_topology::CapabilitiesSpec;
use pcie_topology::EndpointSpec;
use pcie_topology::PortSpec;
use pcie_topology::RootComplexSpec;

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
    /// Downstream Port Containment. It is granted together with AER or not at all: who handles containment reads there what led to it.
    pub dpc: bool,
    /// Completion timeouts.
    pub completion_timeout: bool,
    /// System Firmware Intermediary.
    pub sfi: bool,
    #[bits(22)]
    __: u32,
}

impl PciControl {
    /// What a described root complex, with all below it, implements and an operating system may therefore control:
    ///
    /// | control | where |
    /// | --- | --- |
    /// | capability structure | there is any function: each has one |
    /// | hot-plug | a port has a slot |
    /// | PME | there is a root port or an event collector: its Root Control and Root Status |
    /// | AER | a function reports errors |
    /// | LTR | a function has it |
    /// | DPC | a port has it; then it reports errors too |
    ///
    /// SHPC, completion timeouts and SFI are implemented nowhere. What is plugged in later needs no control that its slot does not show.
    ///
    /// ```
    /// use pcie_topology::PortSpec;
    /// use pcie_topology::RootComplexSpec;
    /// use platform_tables::PciControl;
    ///
    /// let mut root_complex = RootComplexSpec::new("rc0", 0xe000_0000);
    /// assert_eq!(PciControl::of(&root_complex), PciControl::new());
    /// root_complex.port.push(PortSpec::new("rp0"));
    /// let control = PciControl::of(&root_complex);
    /// assert!(control.aer() && control.pme() && !control.native_hot_plug() && !control.dpc());
    /// ```
    pub fn of(root_complex: &RootComplexSpec) -> Self {
        let collects = root_complex.event_collector.is_some();
        let mut control = Self::new()
            .with_capability_structure(collects)
            .with_pme(collects || !root_complex.port.is_empty())
            // An event collector reports its own errors beside those of others.
            .with_aer(collects);
        for port in &root_complex.port {
            control.add_port(port);
        }
        for endpoint in &root_complex.endpoint {
            control.add_endpoint(endpoint);
        }
        control
    }

    fn add_port(&mut self, port: &PortSpec) {
        self.add(&port.capabilities);
        self.set_native_hot_plug(self.native_hot_plug() || port.slot.is_some());
        self.set_dpc(self.dpc() || port.capabilities.dpc);
        if let Some(switch) = &port.switch {
            self.add(&switch.capabilities);
            for port in &switch.port {
                self.add_port(port);
            }
        }
        if let Some(endpoint) = &port.endpoint {
            self.add_endpoint(endpoint);
        }
    }

    fn add_endpoint(&mut self, endpoint: &EndpointSpec) {
        self.add(&endpoint.capabilities);
    }

    fn add(&mut self, capabilities: &CapabilitiesSpec) {
        self.set_capability_structure(true);
        self.set_aer(self.aer() || capabilities.error_reporting);
        self.set_ltr(self.ltr() || capabilities.ltr);
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use pcie_topology::Topology;

    #[track_caller]
    fn check(functions: &str, expected: PciControl) {
        let text =
            format!(r#"root_complex = [{{ name = "rc0", ecam = 0xe000_0000, {functions} }}]"#);
        let topology = Topology::from_toml(&text).unwrap();
        assert_eq!(PciControl::of(&topology.root_complex[0]), expected);
    }

    #[test]
    fn control_is_of_what_is_there() {
        let none = PciControl::new();
        check("", none);
        let structure = none.with_capability_structure(true);
        let port = structure.with_pme(true);
        let bare = "capabilities = { error_reporting = false }";
        check(
            &format!(r#"endpoint = [{{ name = "e", {bare} }}]"#),
            structure,
        );
        check(
            r#"endpoint = [{ name = "e", capabilities = { ltr = true } }]"#,
            structure.with_aer(true).with_ltr(true),
        );
        check(r#"event_collector = { name = "c" }"#, port.with_aer(true));
        check(&format!(r#"port = [{{ name = "p", {bare} }}]"#), port);
        check(
            &format!(r#"port = [{{ name = "p", slot = 1, {bare} }}]"#),
            port.with_native_hot_plug(true),
        );
        check(
            &format!(r#"port = [{{ name = "p", {bare}, endpoint = {{ name = "e" }} }}]"#),
            port.with_aer(true),
        );
    }

    #[test]
    fn what_is_below_switches_counts() {
        let inner = r#"{ name = "inner", slot = 1, capabilities = { dpc = true } }"#;
        check(
            &format!(
                r#"port = [{{ name = "p", switch = {{ name = "s", capabilities = {{ ltr = true }}, port = [{inner}] }} }}]"#
            ),
            PciControl::new()
                .with_capability_structure(true)
                .with_pme(true)
                .with_native_hot_plug(true)
                .with_aer(true)
                .with_dpc(true)
                .with_ltr(true),
        );
    }
}
