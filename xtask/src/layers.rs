//! The layers of the house, and the check that every arrow points down.

use crate::workspace::DependencyKind;
use crate::workspace::Workspace;
use std::fmt::Write;

/// One layer.
pub(crate) struct Layer {
    pub(crate) name: &'static str,
    /// What may live there.
    pub(crate) holds: &'static str,
    /// From top to bottom: within a layer, too, an arrow points down.
    pub(crate) crates: &'static [&'static str],
}

/// From top to bottom.
pub(crate) const LAYERS: &[Layer] = &[
    Layer {
        name: "tools",
        holds: "what checks, documents and tests the rest; no shipped code needs it",
        crates: &[
            "xtask",
            "guest_tests",
            "register_book",
            "state_schema",
            "fuzz_bodies",
            "testkit",
        ],
    },
    Layer {
        name: "programs",
        holds: "wiring, input and output, the user interface",
        crates: &["rootplex", "vmm", "inspect_service"],
    },
    Layer {
        name: "endpoints",
        holds: "devices that a guest's driver binds to",
        crates: &["nvme"],
    },
    Layer {
        name: "composition",
        holds: "describe, validate and wire a hierarchy; the firmware's role",
        crates: &[
            "recording",
            "platform_tables",
            "pcie_topology",
            "pci_enumerate",
        ],
    },
    Layer {
        name: "fabric",
        holds: "ports, root complex, switch, hot-plug, error and message routing: all policy",
        crates: &["pcie"],
    },
    Layer {
        name: "CXL blocks",
        holds: "CXL DVSECs and component registers as the CXL specification lays them out",
        crates: &["cxl_spec"],
    },
    Layer {
        name: "mechanism",
        holds: "config space emulators, capabilities, BARs, MSI and MSI-X; the bus device trait, CF8/CFC",
        crates: &["pci_core", "pci_bus"],
    },
    Layer {
        name: "contracts",
        holds: "what device and monitor promise each other: accesses, interrupts, saved state, lifecycle",
        crates: &["vmcore", "chipset_device", "memory_range"],
    },
    Layer {
        name: "specification",
        holds: "register layouts and identifiers: no state, no policy, `no_std`",
        crates: &["pci_spec"],
    },
    Layer {
        name: "support",
        holds: "register tables, inspection, encoding, logging: know nothing of any device",
        crates: &[
            "reg_table",
            "inspect",
            "inspect_derive",
            "mesh_protobuf",
            "mesh_derive",
            "save_restore_derive",
            "tracelimit",
        ],
    },
];

/// Registry crates that only tests, benches and the tools layer may use.
const TEST_ONLY: &[&str] = &[
    "arbitrary",
    "criterion",
    "expect-test",
    "libfuzzer-sys",
    "proptest",
];

/// Members that run where there is no standard library.
pub(crate) const NO_STD: &[&str] = &["inspect", "pci_spec", "reg_table"];

/// Counted from the top over all layers, and the layer.
fn place(name: &str) -> Option<(usize, &'static Layer)> {
    LAYERS
        .iter()
        .flat_map(|layer| layer.crates.iter().map(move |member| (member, layer)))
        .enumerate()
        .find(|(_, (member, _))| **member == name)
        .map(|(height, (_, layer))| (height, layer))
}

fn is_tool(name: &str) -> bool {
    LAYERS
        .first()
        .is_some_and(|tools| tools.crates.contains(&name))
}

/// Every arrow that points up, every member without a place, every test crate that is shipped.
pub(crate) fn check(workspace: &Workspace) -> Vec<String> {
    let mut findings = Vec::new();
    for package in &workspace.packages {
        let Some((from, layer)) = place(&package.name) else {
            findings.push(format!(
                "{}: is in no layer: give it its place in xtask/src/layers.rs",
                package.manifest()
            ));
            continue;
        };
        for dependency in &package.dependencies {
            let ships = dependency.kind != DependencyKind::Dev;
            if TEST_ONLY.contains(&dependency.name.as_str()) && ships && !is_tool(&package.name) {
                findings.push(format!(
                    "{}: {} is for tests: it belongs in [dev-dependencies]",
                    package.manifest(),
                    dependency.name
                ));
            }
            let Some((to, below)) = place(&dependency.name) else {
                continue;
            };
            // Tests of a crate may use the model of the other side, which lies above it.
            if to > from || (!ships && dependency.name == "testkit") {
                continue;
            }
            findings.push(format!(
                "{}: {} ({}) may not depend on {} ({}): an arrow points down, and {} holds {}",
                package.manifest(),
                package.name,
                layer.name,
                dependency.name,
                below.name,
                layer.name,
                layer.holds
            ));
        }
    }
    for name in LAYERS.iter().flat_map(|layer| layer.crates) {
        if workspace.package(name).is_none() {
            findings.push(format!(
                "xtask/src/layers.rs: {name} is not a member of the workspace"
            ));
        }
    }
    findings
}

/// The layers as a Markdown table, for the book.
pub(crate) fn markdown_table() -> String {
    let mut out = "| layer | crates | what may live there |\n| --- | --- | --- |\n".to_string();
    for layer in LAYERS {
        let crates: Vec<_> = layer
            .crates
            .iter()
            .map(|name| format!("`{name}`"))
            .collect();
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "| {} | {} | {} |",
            layer.name,
            crates.join(", "),
            layer.holds
        );
    }
    out
}

/// The members as a Markdown table, for the README.
pub(crate) fn crate_table(workspace: &Workspace) -> String {
    let mut out = "| crate | what it is |\n| --- | --- |\n".to_string();
    for name in LAYERS
        .iter()
        .skip(1)
        .chain(LAYERS.first())
        .flat_map(|layer| layer.crates)
    {
        if let Some(package) = workspace.package(name) {
            let _ = writeln!(
                out,
                "| [`{name}`]({}) | {} |",
                package.folder, package.description
            );
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Dependency;
    use crate::workspace::Package;

    /// All members, and one of them with one dependency.
    fn findings(package: &str, dependency: &str, kind: DependencyKind) -> Vec<String> {
        let mut workspace = Workspace::default();
        for name in LAYERS.iter().flat_map(|layer| layer.crates) {
            workspace.packages.push(Package {
                name: name.to_string(),
                folder: format!("crates/{name}"),
                ..Package::default()
            });
        }
        let package = workspace
            .packages
            .iter_mut()
            .find(|p| p.name == package)
            .unwrap();
        package.dependencies.push(Dependency {
            name: dependency.to_string(),
            kind,
        });
        check(&workspace)
    }

    #[test]
    fn down_is_fine() {
        assert_eq!(
            findings("pcie", "pci_core", DependencyKind::Normal),
            [""; 0]
        );
        assert_eq!(
            findings("pcie", "thiserror", DependencyKind::Normal),
            [""; 0]
        );
    }

    #[test]
    fn up_is_not() {
        assert_eq!(
            findings("pci_core", "pcie", DependencyKind::Normal),
            [
                "crates/pci_core/Cargo.toml: pci_core (mechanism) may not depend on pcie (fabric): an arrow points down, and \
                 mechanism holds config space emulators, capabilities, BARs, MSI and MSI-X; the bus device trait, CF8/CFC"
            ]
        );
    }

    #[test]
    fn within_a_layer_the_order_counts() {
        assert_eq!(
            findings("pci_core", "pci_bus", DependencyKind::Normal),
            [""; 0]
        );
        assert_eq!(
            findings("pci_bus", "pci_core", DependencyKind::Normal).len(),
            1
        );
    }

    #[test]
    fn tests_may_use_the_testkit_and_nothing_else_above() {
        assert_eq!(findings("pcie", "testkit", DependencyKind::Dev), [""; 0]);
        assert_eq!(findings("pcie", "testkit", DependencyKind::Normal).len(), 1);
        assert_eq!(
            findings("pcie", "pci_enumerate", DependencyKind::Dev).len(),
            1
        );
    }

    #[test]
    fn test_crates_are_not_shipped() {
        assert_eq!(findings("pcie", "proptest", DependencyKind::Dev), [""; 0]);
        assert_eq!(
            findings("testkit", "proptest", DependencyKind::Normal),
            [""; 0]
        );
        assert_eq!(
            findings("pcie", "proptest", DependencyKind::Normal),
            ["crates/pcie/Cargo.toml: proptest is for tests: it belongs in [dev-dependencies]"]
        );
    }

    #[test]
    fn a_member_has_a_place() {
        let mut workspace = Workspace::default();
        workspace.packages.push(Package {
            name: "misfit".to_string(),
            folder: "crates/misfit".to_string(),
            ..Package::default()
        });
        let findings = check(&workspace);
        assert!(
            findings
                .iter()
                .any(|f| f.starts_with("crates/misfit/Cargo.toml: is in no layer"))
        );
        assert!(
            findings.contains(
                &"xtask/src/layers.rs: pcie is not a member of the workspace".to_string()
            )
        );
    }
}
