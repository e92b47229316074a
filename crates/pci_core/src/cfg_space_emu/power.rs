//! What a function's owner has to do with its Power Management capability.

use super::ConfigSpaceCommonHeaderEmulator;
use super::ConfigSpaceType0Emulator;
use super::ConfigSpaceType1Emulator;
use crate::capabilities::power_management::PowerManagementCapability;

impl<const N: usize> ConfigSpaceCommonHeaderEmulator<N> {
    fn power_management_mut(&mut self) -> Option<&mut PowerManagementCapability> {
        let mut capabilities = self.capabilities.iter_mut();
        capabilities.find_map(|c| c.as_power_management_mut())
    }
}

macro_rules! power_management {
    ($emulator:ty) => {
        impl $emulator {
            /// Power Management, if it has that.
            pub fn power_management(&self) -> Option<&PowerManagementCapability> {
                let mut capabilities = self.common.capabilities.iter();
                capabilities.find_map(|c| c.as_power_management())
            }

            /// As [`Self::power_management`].
            pub fn power_management_mut(&mut self) -> Option<&mut PowerManagementCapability> {
                self.common.power_management_mut()
            }

            /// Signals a power management event (PCIe 6.2 section 5.3.3); false if the function cannot, from the state it is in. Whether a
            /// message follows, [`Self::take_pme`] says.
            pub fn signal_pme(&mut self) -> bool {
                let Some(power) = self
                    .power_management_mut()
                    .filter(|power| power.supports_pme())
                else {
                    return false;
                };
                power.signal_pme();
                true
            }

            /// Whether a PME message is to be sent, once; see [`PowerManagementCapability::take_pme`].
            pub fn take_pme(&mut self) -> bool {
                self.power_management_mut()
                    .is_some_and(|power| power.take_pme())
            }

            /// Makes a PME message due once more that may have been lost on the way; see
            /// [`PowerManagementCapability::retransmit_pme`].
            pub fn retransmit_pme(&mut self) -> bool {
                self.power_management_mut()
                    .is_some_and(|power| power.retransmit_pme())
            }
        }
    };
}

power_management!(ConfigSpaceType0Emulator);
power_management!(ConfigSpaceType1Emulator);
