//! What was there at boot goes; a device with several functions comes in its place, and then a whole switch with devices behind it.

use super::described;
use super::described::PORT;
use super::disk::Disk;
use crate::channel::Function;
use crate::scenario::Sides;
use crate::scenario::agree;
use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use anyhow::ensure;
use chipset_device::mmio::ExternallyManagedMmioIntercepts;
use pci_bus::GenericPciBusDevice;
use pci_core::msi::MsiTarget;
use pcie::PortConfig;
use pcie::switch::SwitchConfig;
use pcie_topology::BarKind;
use pcie_topology::EndpointSpec;
use pcie_topology::PlugError;
use pcie_topology::TestEndpoint;
use pcie_topology::Topology;

const FUNCTIONS: u16 = 4;
/// Ports of the switch, each with a card.
const BEHIND_SWITCH: usize = 3;
const DEVICE_ID: u16 = 0xabcd;
const BAR_SIZE: u64 = 64 << 10;

pub(super) fn topology() -> Result<Topology> {
    let mut topology = described::one_slot()?;
    let port = topology
        .root_complex
        .first_mut()
        .and_then(|complex| complex.port.first_mut())
        .context("a port is described")?;
    port.endpoint = Some(Box::new(Disk::new("disk").endpoint()?));
    Ok(topology)
}

pub(super) fn steps(sides: &mut Sides) -> Result<()> {
    let disk = Disk::new("disk");
    sides.step(PORT, "the disk of boot time is removed");
    disk.wait_up(sides, PORT)?;
    let sum = disk.write(sides)?;
    sides.guest.run("echo 0 >/sys/bus/pci/slots/1/power")?;
    disk.wait_gone(sides)?;
    sides.host.operate(|hierarchy| hierarchy.unplug(PORT))?;

    sides.step(PORT, "a device of four functions is plugged in");
    let four = EndpointSpec {
        functions: FUNCTIONS,
        ..card("card")
    };
    sides.host.plug(PORT, &four)?;
    wait_for_cards(sides, usize::from(FUNCTIONS))?;
    for function in sides.guest.functions()? {
        if function.device == DEVICE_ID {
            check_bar(&function)?;
        }
    }
    sides.guest.run("echo 0 >/sys/bus/pci/slots/1/power")?;
    sides.host.operate(|hierarchy| hierarchy.unplug(PORT))?;

    sides.step(PORT, "a switch with devices behind it is plugged in");
    plug_switch(sides)?;
    wait_for_cards(sides, BEHIND_SWITCH)?;
    check_switch(sides)?;
    sides.guest.run("echo 0 >/sys/bus/pci/slots/1/power")?;
    sides.host.operate(|hierarchy| hierarchy.unplug(PORT))?;

    disk.plug(sides, PORT)?;
    disk.check(sides, &sum)?;
    sides.no_complaints()
}

/// Waits until the guest has so many functions of the cards.
fn wait_for_cards(sides: &mut Sides, count: usize) -> Result<()> {
    sides.guest.wait_for(
        &format!("[ $(grep -l {DEVICE_ID:#x} /sys/bus/pci/devices/*/device | wc -l) = {count} ]"),
        20,
    )
}

/// A card's BAR is as described, and in the root complex's 64-bit aperture.
fn check_bar(function: &Function) -> Result<()> {
    let [bar] = function.bars.as_slice() else {
        bail!("one BAR is described: {function:x?}");
    };
    ensure!(bar.last - bar.start + 1 == BAR_SIZE, "{function:x?}");
    ensure!(
        bar.start >= 0x40_0000_0000,
        "not in the aperture: {function:x?}"
    );
    Ok(())
}

fn card(name: &str) -> EndpointSpec {
    EndpointSpec {
        device_id: DEVICE_ID,
        ..EndpointSpec::new(name).with_bar(BarKind::Prefetchable, BAR_SIZE)
    }
}

fn plug_switch(sides: &Sides) -> Result<()> {
    sides.host.operate(|hierarchy| {
        let target = hierarchy.msi_target(PORT)?;
        let switch = switch(&target).map_err(|error| PlugError::Refused {
            port: PORT.to_string(),
            reason: format!("{error:#}"),
        })?;
        hierarchy.plug_device(PORT, "switch", switch)
    })
}

/// A switch with a card behind each of its ports.
fn switch(target: &MsiTarget) -> Result<Box<dyn GenericPciBusDevice>> {
    let mut config = SwitchConfig::new("switch");
    config.ports = (0u8..)
        .take(BEHIND_SWITCH)
        .map(|device| PortConfig::new(format!("down{device}"), device, 0))
        .collect();
    let mut unregistered = ExternallyManagedMmioIntercepts;
    let mut switch = config.build(target, Some(&mut unregistered))?;
    for port in switch.downstream_ports() {
        let name = format!("card-{}", port.name);
        let target = target.with_bus_range(port.bus_range.clone(), 0);
        let card = TestEndpoint::new(&card(&name), &target, &mut unregistered)?;
        switch.add_pcie_device(port.port_number, &name, Box::new(card))?;
    }
    Ok(switch.into_device())
}

/// The guest has the root port, the upstream port, the downstream ports, and below them the cards.
fn check_switch(sides: &mut Sides) -> Result<()> {
    let functions = sides.guest.functions()?;
    let ports: Vec<&str> = functions
        .iter()
        .filter(|function| function.driver.as_deref() == Some("pcieport"))
        .map(|function| function.bdf.as_str())
        .collect();
    agree("ports", &(2 + BEHIND_SWITCH), &ports.len())?;
    for function in &functions {
        if function.device == DEVICE_ID {
            let parent = function
                .parent
                .as_deref()
                .context("a card has no port above")?;
            ensure!(
                ports.contains(&parent),
                "{function:x?} is not below {ports:?}"
            );
            check_bar(function)?;
        }
    }
    Ok(())
}
