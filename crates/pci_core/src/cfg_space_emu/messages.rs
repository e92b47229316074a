//! What a function sends up: error messages and power management events, kept until whoever routes them fetches them.

use super::ConfigSpaceType0Emulator;
use super::ConfigSpaceType1Emulator;
use crate::spec::Bdf;
use crate::spec::messages::Message;
use crate::spec::messages::MessageKind;
use pci_bus::Stimulus;
use pci_bus::StimulusError;

macro_rules! messages {
    ($emulator:ty) => {
        impl $emulator {
            /// Makes something happen in the function. Messages that follow are for [`Self::take_messages`].
            ///
            /// # Errors
            ///
            /// [`StimulusError`]: the function has no Advanced Error Reporting, or signals no power management events from its power
            /// state. `name` is what the error calls it.
            pub fn stimulate(
                &mut self,
                name: &str,
                stimulus: Stimulus,
            ) -> Result<(), StimulusError> {
                match stimulus {
                    Stimulus::Error(error) if self.aer_mut().is_some() => {
                        // They are fetched at once; a function by itself keeps the last error's.
                        self.common.unsent = self.record_error(error).messages().collect();
                        Ok(())
                    }
                    Stimulus::Wake if self.signal_pme() => Ok(()),
                    Stimulus::Error(_) | Stimulus::Wake => Err(stimulus.refused_by(name)),
                }
            }

            /// The messages that wait, with `source` as their sender: errors, then a power management event.
            pub fn take_messages(&mut self, source: Bdf) -> impl Iterator<Item = Message> + use<> {
                let pme = self.take_pme().then_some(MessageKind::Pme);
                let errors = std::mem::take(&mut self.common.unsent).into_iter();
                let kinds = errors.map(MessageKind::Error).chain(pme);
                kinds.map(move |kind| Message { kind, source })
            }
        }
    };
}

messages!(ConfigSpaceType0Emulator);
messages!(ConfigSpaceType1Emulator);
