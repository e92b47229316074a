//! The monitor's address map.

use chipset_device::mmio::ControlMmioIntercept;
use chipset_device::mmio::RegisterMmioIntercept;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A region that a device registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedRegion {
    /// Its name.
    pub name: String,
    /// Bytes.
    pub len: u64,
    /// Where it is mapped; `None` while it is not.
    pub address: Option<u64>,
}

impl MappedRegion {
    fn offset_of(&self, address: u64) -> Option<u64> {
        address
            .checked_sub(self.address?)
            .filter(|offset| *offset < self.len)
    }
}

#[derive(Default)]
struct Regions {
    /// By order of registration.
    live: BTreeMap<u64, MappedRegion>,
    next: u64,
}

/// Registers regions and remembers where each is mapped. Clones look at the same map.
///
/// ```
/// use chipset_device::mmio::RegisterMmioIntercept;
/// use testkit::MmioMap;
///
/// let map = MmioMap::new();
/// let mut region = map.clone().new_io_region("bar0", 0x1000);
/// region.map(0x8000_0000);
/// assert_eq!(map.region_at(0x8000_0010).unwrap().name, "bar0");
/// drop(region);
/// assert_eq!(map.region_at(0x8000_0010), None);
/// ```
#[derive(Clone, Default)]
pub struct MmioMap(Arc<Mutex<Regions>>);

impl MmioMap {
    /// An empty map.
    pub fn new() -> Self {
        Self::default()
    }

    /// All regions that are registered, mapped or not, in the order they were.
    pub fn regions(&self) -> Vec<MappedRegion> {
        self.0.lock().live.values().cloned().collect()
    }

    /// The region that `address` lies in. Of several, the one registered first.
    pub fn region_at(&self, address: u64) -> Option<MappedRegion> {
        let regions = self.0.lock();
        regions
            .live
            .values()
            .find(|region| region.offset_of(address).is_some())
            .cloned()
    }

    /// The region `name`. Of several, the one registered first.
    pub fn region(&self, name: &str) -> Option<MappedRegion> {
        self.0
            .lock()
            .live
            .values()
            .find(|region| region.name == name)
            .cloned()
    }
}

impl RegisterMmioIntercept for MmioMap {
    fn new_io_region(&mut self, region_name: &str, len: u64) -> Box<dyn ControlMmioIntercept> {
        let mut regions = self.0.lock();
        let key = regions.next;
        regions.next += 1;
        let region = MappedRegion {
            name: region_name.to_string(),
            len,
            address: None,
        };
        regions.live.insert(key, region);
        Box::new(Control {
            map: self.clone(),
            key,
            name: region_name.to_string(),
            len,
        })
    }
}

/// A device's handle on its region.
struct Control {
    map: MmioMap,
    key: u64,
    name: String,
    len: u64,
}

impl Control {
    fn set(&self, address: Option<u64>) {
        if let Some(region) = self.map.0.lock().live.get_mut(&self.key) {
            region.address = address;
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.map.0.lock().live.remove(&self.key);
    }
}

impl ControlMmioIntercept for Control {
    fn region_name(&self) -> &str {
        &self.name
    }

    fn map(&mut self, addr: u64) {
        self.set(Some(addr));
    }

    fn unmap(&mut self) {
        self.set(None);
    }

    fn addr(&self) -> Option<u64> {
        self.map.0.lock().live.get(&self.key)?.address
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn offset_of(&self, addr: u64) -> Option<u64> {
        self.map.0.lock().live.get(&self.key)?.offset_of(addr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_found_where_it_is_mapped_and_nowhere_else() {
        let mut map = MmioMap::new();
        let mut control = map.new_io_region("bar0", 0x1000);
        assert_eq!(map.region_at(0), None, "not mapped yet");
        control.map(0x4000);
        for (address, offset) in [
            (0x3fff, None),
            (0x4000, Some(0)),
            (0x4fff, Some(0xfff)),
            (0x5000, None),
        ] {
            assert_eq!(control.offset_of(address), offset, "{address:#x}");
            assert_eq!(
                map.region_at(address).is_some(),
                offset.is_some(),
                "{address:#x}"
            );
        }
        control.map(0x8000);
        assert_eq!(
            (map.region_at(0x4000), control.addr()),
            (None, Some(0x8000))
        );
        control.unmap();
        assert_eq!(
            map.regions(),
            [MappedRegion {
                name: "bar0".into(),
                len: 0x1000,
                address: None
            }]
        );
    }

    #[test]
    fn of_overlapping_regions_the_first_answers() {
        let mut map = MmioMap::new();
        let mut first = map.new_io_region("first", 0x1000);
        let mut second = map.new_io_region("second", 0x1000);
        second.map(0);
        first.map(0);
        assert_eq!(map.region_at(0x10).unwrap().name, "first");
        drop(first);
        assert_eq!(map.region_at(0x10).unwrap().name, "second");
    }
}
