//! Device identifiers for an interrupt translation service: the segment above the requester ID.

use pci_core::msi::SignalMsi;
use std::sync::Arc;
use vmcore::event::Event;
use vmcore::irqfd::IrqFd;
use vmcore::irqfd::IrqFdRoute;

const fn its_device_id(segment: u16, bdf: u32) -> u32 {
    ((segment as u32) << 16) | (bdf & 0xffff)
}

/// Sends messages on with the segment in the device identifier. One without an identifier is dropped: the service could not
/// translate it.
pub struct ItsSignalMsi {
    inner: Arc<dyn SignalMsi>,
    segment: u16,
}

impl ItsSignalMsi {
    /// For functions of `segment`, to `inner`.
    pub fn new(inner: Arc<dyn SignalMsi>, segment: u16) -> Self {
        Self { inner, segment }
    }
}

impl SignalMsi for ItsSignalMsi {
    fn signal_msi(&self, devid: Option<u32>, address: u64, data: u32) {
        match devid {
            Some(bdf) => {
                self.inner
                    .signal_msi(Some(its_device_id(self.segment, bdf)), address, data)
            }
            None => {
                tracelimit::warn_ratelimited!(address, data, "MSI without requester ID dropped")
            }
        }
    }
}

/// Makes routes with the segment in the device identifier.
pub struct ItsIrqFd {
    inner: Arc<dyn IrqFd>,
    segment: u16,
}

impl ItsIrqFd {
    /// For functions of `segment`, from `inner`.
    pub fn new(inner: Arc<dyn IrqFd>, segment: u16) -> Self {
        Self { inner, segment }
    }
}

impl IrqFd for ItsIrqFd {
    fn new_irqfd_route(&self) -> anyhow::Result<Box<dyn IrqFdRoute>> {
        Ok(Box::new(ItsRoute {
            inner: self.inner.new_irqfd_route()?,
            segment: self.segment,
        }))
    }
}

struct ItsRoute {
    inner: Box<dyn IrqFdRoute>,
    segment: u16,
}

impl IrqFdRoute for ItsRoute {
    fn event(&self) -> &Event {
        self.inner.event()
    }

    fn enable(&self, address: u64, data: u32, devid: Option<u32>) {
        if let Some(bdf) = devid {
            self.inner
                .enable(address, data, Some(its_device_id(self.segment, bdf)));
        }
    }

    fn disable(&self) {
        self.inner.disable();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;

    #[derive(Default)]
    struct Log(Mutex<Vec<(Option<u32>, u64, u32)>>);

    impl SignalMsi for Log {
        fn signal_msi(&self, devid: Option<u32>, address: u64, data: u32) {
            self.0.lock().push((devid, address, data));
        }
    }

    #[test]
    fn the_segment_goes_above_the_requester() {
        let log = Arc::new(Log::default());
        let its = ItsSignalMsi::new(log.clone(), 0x12);
        its.signal_msi(Some(0xffff_0345), 1, 2);
        its.signal_msi(None, 3, 4);
        assert_eq!(*log.0.lock(), [(Some(0x0012_0345), 1, 2)]);
    }

    struct Routes(Arc<Log>);

    struct Route(Arc<Log>, Event);

    impl IrqFd for Routes {
        fn new_irqfd_route(&self) -> anyhow::Result<Box<dyn IrqFdRoute>> {
            Ok(Box::new(Route(self.0.clone(), Event::new())))
        }
    }

    impl IrqFdRoute for Route {
        fn event(&self) -> &Event {
            &self.1
        }
        fn enable(&self, address: u64, data: u32, devid: Option<u32>) {
            self.0.signal_msi(devid, address, data);
        }
        fn disable(&self) {
            self.0.signal_msi(None, 0, 0);
        }
    }

    #[test]
    fn routes_are_tagged_alike() {
        let log = Arc::new(Log::default());
        let route = ItsIrqFd::new(Arc::new(Routes(log.clone())), 1)
            .new_irqfd_route()
            .unwrap();
        route.enable(5, 6, Some(0x100));
        route.enable(5, 6, None);
        route.disable();
        assert_eq!(*log.0.lock(), [(Some(0x1_0100), 5, 6), (None, 0, 0)]);
    }
}
