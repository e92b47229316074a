//! What guests are to do at a slot, and who waits for it.

use super::PcieDownstreamPort;
use pci_bus::Acknowledgement;
use pci_bus::Acknowledger;
use pci_bus::SlotGoal;
use pci_core::capabilities::pci_express::PciExpressCapability;

/// Those who wait. Dropping them says that it cannot come about any more.
#[derive(Default)]
pub(super) struct Goals(Vec<(SlotGoal, Acknowledger)>);

impl PcieDownstreamPort {
    /// What is to be waited for; it may have come about already.
    pub(super) fn add_goal(&mut self, goal: SlotGoal) -> Acknowledgement {
        let (acknowledger, acknowledgement) = Acknowledgement::pending();
        self.goals.0.push((goal, acknowledger));
        self.settle_goals();
        acknowledgement
    }

    /// Looks whether what someone waits for came about.
    pub(super) fn settle_goals(&mut self) {
        if self.goals.0.is_empty() {
            return;
        }
        let released = self
            .pci_express()
            .is_none_or(PciExpressCapability::removal_permitted);
        let reachable = self.link.is_some();
        for (goal, acknowledger) in std::mem::take(&mut self.goals.0) {
            let met = match goal {
                SlotGoal::Reachable => reachable,
                SlotGoal::Released => released,
            };
            if met {
                acknowledger.acknowledge();
            } else if acknowledger.is_awaited() {
                self.goals.0.push((goal, acknowledger));
            }
        }
    }

    /// The device is gone: none of it can come about any more.
    pub(super) fn abandon_goals(&mut self) {
        self.goals = Goals::default();
    }
}
