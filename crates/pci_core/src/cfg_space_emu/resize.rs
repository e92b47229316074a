//! BARs whose size software chooses (PCIe 6.2 section 7.8.6): the Resizable BAR capability says which size, the BAR takes it.
//!
//! Software turns memory decoding off, chooses a size, writes the BAR and turns decoding on again. If it leaves decoding on, the BAR answers
//! with its new size where the address bits that are left say.

use super::ConfigSpaceCommonHeaderEmulator;
use super::ConfigSpaceError;
use crate::capabilities::extended::resizable_bar::ResizableBarExtendedCapability;
use crate::capabilities::extended::resizable_bar::ResizedBar;

impl<const N: usize> ConfigSpaceCommonHeaderEmulator<N> {
    fn resizable_bars(&mut self) -> Option<&mut ResizableBarExtendedCapability> {
        let mut extended = self.extended_capabilities.iter_mut();
        extended.find_map(|c| c.as_resizable_bar_mut())
    }

    /// Gives BARs the sizes that the capability says they start with, and checks that they can have each of the others.
    pub(super) fn begin_resizable(&mut self) -> Result<(), ConfigSpaceError> {
        let Some(capability) = self.resizable_bars() else {
            return Ok(());
        };
        for resizable in capability.bars().to_vec() {
            let index = usize::from(resizable.index);
            let Some(Some(bar)) = self.bars.get(index) else {
                return Err(ConfigSpaceError::NoBarToResize { index });
            };
            for len in resizable.sizes() {
                bar.check_size(index, len)?;
            }
            self.resize(ResizedBar {
                index: resizable.index,
                bytes: resizable.default_bytes(),
            });
        }
        Ok(())
    }

    /// Gives BARs the sizes that the capability says since it was asked last; true if there are any. The caller places the BARs.
    pub(super) fn follow_resized(&mut self) -> bool {
        let mut any = false;
        while let Some(resized) = self
            .resizable_bars()
            .and_then(ResizableBarExtendedCapability::take_resized)
        {
            self.resize(resized);
            any = true;
        }
        any
    }

    fn resize(&mut self, ResizedBar { index, bytes }: ResizedBar) {
        let index = usize::from(index);
        let Some(Some(bar)) = self.bars.get_mut(index) else {
            return;
        };
        bar.resize(bytes);
        let ([low, high], encoding) = (bar.writable(), bar.encoding());
        let halves = [(index, low, encoding), (index + 1, high, 0)];
        let halves = halves
            .into_iter()
            .take(if bar.kind.is_64_bit() { 2 } else { 1 });
        for (index, writable, encoding) in halves {
            // The address bits that are left keep their values.
            let address = self.header.bar(index);
            self.header.init_bar(index, writable, encoding);
            self.header.set_bar(index, address);
            if let Some(mask) = self.bar_masks.get_mut(index) {
                *mask = writable | encoding;
            }
        }
    }
}
