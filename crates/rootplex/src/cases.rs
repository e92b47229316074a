//! Prepared hierarchies in which a card was plugged and did not appear, for those who learn to find out why.
//!
//! Each is as a guest would have left it: firmware enumerated the machine, the guest's hot-plug driver took the slots, a card was plugged
//! into one of them, and the driver did what it could.

use crate::hot_plug_driver::HotPlugDriver;
use crate::session::Session;
use crate::session::SessionError;
use crate::session::ecam;
use crate::session::host_bridge;
use pci_enumerate::Bdf;
use pcie_topology::EndpointSpec;
use pcie_topology::Hierarchy;
use pcie_topology::PlugError;

/// A prepared hierarchy.
#[derive(Debug)]
pub struct Case {
    /// Its name.
    pub name: &'static str,
    /// The description of the machine, TOML.
    pub topology: &'static str,
    /// The port that the card is plugged into.
    port: &'static str,
    /// The card, an endpoint of a topology.
    card: &'static str,
    /// The last bus that firmware and guest believe the root complex to have, if they believe wrong.
    last_bus: Option<u8>,
    /// Whether the guest's driver has the slots' interrupt on when the card comes.
    listens: bool,
}

/// The cases, by name.
pub const CASES: &[Case] = &[
    Case {
        name: "interrupt-disabled",
        topology: include_str!("../examples/cases/interrupt-disabled.toml"),
        port: "bay1",
        card: "name = \"nic0\"\nclass = 0x02_0000\nbar = [{ kind = \"32\", size = \"64K\" }]\nmsix = { vectors = 8 }\n",
        last_bus: None,
        listens: false,
    },
    Case {
        name: "bus-numbers-missing",
        topology: include_str!("../examples/cases/bus-numbers-missing.toml"),
        port: "bay2",
        card: "name = \"nic0\"\nclass = 0x02_0000\nbar = [{ kind = \"32\", size = \"64K\" }]\nmsix = { vectors = 8 }\n",
        last_bus: Some(2),
        listens: true,
    },
    Case {
        name: "window-too-small",
        topology: include_str!("../examples/cases/window-too-small.toml"),
        port: "bay1",
        card: "name = \"gpu0\"\nclass = 0x03_0200\nbar = [{ kind = \"32\", size = \"1M\" }, { index = 2, kind = \"prefetchable\", size = \"8G\" }]\n",
        last_bus: None,
        listens: true,
    },
];

/// Why a case cannot be prepared, which is a mistake in its table.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// The machine cannot be composed.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The card's description is malformed.
    #[error("the card: {0}")]
    Card(#[from] toml::de::Error),
    /// The card cannot be plugged.
    #[error(transparent)]
    Plug(#[from] PlugError),
}

impl Case {
    /// The case of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        CASES.iter().find(|case| case.name == name)
    }

    /// Composes the machine and lets happen what happened.
    ///
    /// # Errors
    ///
    /// [`CaseError`], for a case that does not stand in [`CASES`].
    pub fn prepare(&self) -> Result<Hierarchy, CaseError> {
        let mut hierarchy = Session::compose(self.topology)?.into_hierarchy();
        if let Some(last_bus) = self.last_bus {
            for complex in &mut hierarchy.complexes {
                let mut firmware = host_bridge(&complex.spec);
                firmware.apertures.buses = complex.spec.buses.start..=last_bus;
                let enumerated = pci_enumerate::enumerate(&mut ecam(&mut complex.root), &firmware);
                enumerated.map_err(|source| SessionError::Apertures {
                    complex: complex.name.clone(),
                    source,
                })?;
            }
        }
        let card: EndpointSpec = toml::from_str(self.card)?;
        let slots: Vec<_> = hierarchy.functions();
        let slots = slots
            .iter()
            .filter(|function| hierarchy.port_names().contains(&function.name));
        let slots: Vec<Bdf> = slots.filter_map(|function| function.bdf).collect();
        self.with_drivers(&mut hierarchy, &slots, |driver| driver.bind());
        if !self.listens {
            self.with_drivers(&mut hierarchy, &slots, |driver| driver.sleep());
        }
        hierarchy.plug(self.port, &card)?;
        // Of those whose interrupt is off, the guest hears nothing.
        self.with_drivers(&mut hierarchy, &slots, |driver| {
            if driver.is_told() {
                driver.answer();
            }
        });
        Ok(hierarchy)
    }

    fn with_drivers(
        &self,
        hierarchy: &mut Hierarchy,
        slots: &[Bdf],
        f: impl Fn(&mut HotPlugDriver<'_>),
    ) {
        for complex in &mut hierarchy.complexes {
            let mut access = ecam(&mut complex.root);
            for slot in slots {
                if let Some(mut driver) = HotPlugDriver::of(&mut access, *slot) {
                    f(&mut driver);
                }
            }
        }
    }
}
