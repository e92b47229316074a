//! Gives addresses to BARs, expansion ROMs and windows.

use std::ops::Range;

use crate::demand::{Demand, demands};
use crate::hierarchy::{Function, Window};
use crate::host_bridge::HostBridge;
use crate::pack::{Item, Packing, pack};
use crate::shortfall::{Obstacle, Resource, Shortfall, WindowKind};

/// Places everything that fits; what does not is added to `shortfalls`.
pub(crate) fn place(
    host_bridge: &HostBridge,
    functions: &mut [Function],
    shortfalls: &mut Vec<Shortfall>,
) {
    let demands = demands(host_bridge, functions, shortfalls);
    for kind in WindowKind::ALL {
        let Some(aperture) = host_bridge.apertures.of(kind) else {
            continue;
        };
        let demand = demands.of(kind);
        let packing = pack(demand, &usable(aperture, kind), kind.granularity());
        settle(functions, kind, &packing);
        let obstacle = Obstacle::NoRoom {
            kind,
            aperture: aperture.clone(),
            left: packing.left,
            largest: packing.largest,
        };
        report(demand, kind, &packing, &obstacle, shortfalls);
    }
}

/// The aperture without its first granule if that is at 0: a BAR that reads 0 is taken for unassigned.
fn usable(aperture: &Range<u64>, kind: WindowKind) -> Range<u64> {
    aperture.start.max(kind.granularity()).min(aperture.end)..aperture.end
}

fn settle(functions: &mut [Function], kind: WindowKind, packing: &Packing) {
    for function in functions {
        let bdf = function.bdf;
        let address = |resource| {
            let place = packing.places.get(&Item::Leaf(bdf, resource));
            place.map(|place| place.start)
        };
        for bar in &mut function.bars {
            bar.address = bar.address.or(address(Resource::Bar(bar.index)));
        }
        if let Some(rom) = &mut function.rom {
            rom.address = rom.address.or(address(Resource::Rom));
        }
        if let Some(bridge) = &mut function.bridge {
            let window = packing.places.get(&Item::Window(bdf));
            *bridge.window_mut(kind) = window.map(|window| Window {
                base: window.start,
                limit: window.end - 1,
            });
            settle(&mut bridge.functions, kind, packing);
        }
    }
}

fn report(
    demand: &Demand,
    kind: WindowKind,
    packing: &Packing,
    obstacle: &Obstacle,
    shortfalls: &mut Vec<Shortfall>,
) {
    for leaf in &demand.leaves {
        let item = Item::Leaf(leaf.function, leaf.resource);
        if !packing.places.contains_key(&item) {
            shortfalls.push(leaf.shortfall(obstacle.clone()));
        }
    }
    for opening in &demand.openings {
        let window = packing.places.get(&Item::Window(opening.bridge));
        let granted = window.map_or(0, |window| window.end - window.start);
        if granted < opening.reserve {
            shortfalls.push(Shortfall::WindowReserve {
                port: opening.bridge,
                kind,
                asked: opening.reserve,
                granted,
                obstacle: obstacle.clone(),
            });
        }
        report(&opening.inside, kind, packing, obstacle, shortfalls);
    }
}
