//! A root complex as inspection shows it.

use super::GenericPcieRootComplex;
use inspect::InspectMut;
use inspect::Request;

impl InspectMut for GenericPcieRootComplex {
    fn inspect_mut(&mut self, req: Request<'_>) {
        let is_update = req.is_update();
        let mut resp = req.respond();
        resp.field("segment", self.segment)
            .hex("start_bus", self.start_bus)
            .hex("end_bus", self.end_bus)
            .display("ecam_range", &self.ecam_range)
            .field("host_bridge", &self.host_bridge)
            .field_mut("functions", &mut self.functions)
            .field("events_logged", self.fabric.events().next_sequence())
            .field("name", &*self.name);
        // A button that was pressed may wake the system.
        if is_update {
            self.route_messages();
        }
    }
}
