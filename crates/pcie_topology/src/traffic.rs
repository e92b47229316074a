//! How much goes through each port: accesses by the guest, and messages of devices.
//!
//! Counting is by bus, an addition for each access; what a bus counted is put down to the ports that forward to it when the guest gives out
//! bus numbers, and when somebody asks. Nothing is counted in the root complex itself: accesses past [`Complex`](crate::Complex) and
//! [`Hierarchy`](crate::Hierarchy) are not.

use crate::BusNumbers;
use pci_core::bus_range::AssignedBusRange;
use pci_core::msi::SignalMsi;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

const BUSES: usize = 256;
/// In ECAM, each bus has so many bits of the address (PCIe 6.2 section 7.2.2).
const ECAM_BUS_SHIFT: u32 = 20;
/// Offset within a function, in whole dwords, and where a bridge has its bus numbers.
const REGISTER_MASK: u64 = 0xffc;
const BUS_NUMBERS: u64 = 0x18;

/// What was counted.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Configuration reads, by ECAM.
    pub config_reads: u64,
    /// Configuration writes, by ECAM.
    pub config_writes: u64,
    /// Messages that devices sent through an interrupt sink. Those that a hypervisor delivers by itself, by irqfd, are not among them.
    pub msis: u64,
}

impl Traffic {
    fn add(&mut self, other: Self) {
        self.config_reads += other.config_reads;
        self.config_writes += other.config_writes;
        self.msis += other.msis;
    }

    fn since(self, earlier: Self) -> Self {
        Self {
            config_reads: self.config_reads - earlier.config_reads,
            config_writes: self.config_writes - earlier.config_writes,
            msis: self.msis - earlier.msis,
        }
    }
}

/// What went through a port: to and from functions on the buses behind it, and not its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortTraffic {
    /// The port's name.
    pub port: String,
    /// What was counted.
    pub traffic: Traffic,
}

/// What went through a root complex.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComplexTraffic {
    /// The root complex's name.
    pub complex: String,
    /// All configuration accesses and messages, those of functions on its root bus among them.
    pub traffic: Traffic,
    /// Reads of memory beside ECAM: BARs, and registers of the host bridge.
    pub memory_reads: u64,
    /// Writes to memory beside ECAM.
    pub memory_writes: u64,
}

#[derive(Copy, Clone, Default)]
struct Accesses {
    reads: u64,
    writes: u64,
}

/// The counters of a root complex.
pub(crate) struct Counters {
    ecam: u64,
    first_bus: u8,
    /// By bus, from the first of ECAM.
    config: Box<[Accesses]>,
    memory: Accesses,
    msis: Arc<Messages>,
    /// What was put down already.
    settled: Traffic,
    ports: Vec<Port>,
}

struct Port {
    name: String,
    below: AssignedBusRange,
    /// The bus numbers that what is counted now belongs to.
    buses: (u8, u8),
    traffic: Traffic,
}

impl Counters {
    pub(crate) fn new(ecam: u64, buses: BusNumbers) -> Self {
        Self {
            ecam,
            first_bus: buses.start,
            config: (buses.start..=buses.end)
                .map(|_| Accesses::default())
                .collect(),
            memory: Accesses::default(),
            msis: Arc::default(),
            settled: Traffic::default(),
            ports: Vec::new(),
        }
    }

    /// Counts for a port from now on.
    pub(crate) fn add_port(&mut self, name: &str, below: AssignedBusRange) {
        self.ports.push(Port {
            name: name.to_owned(),
            buses: below.bus_range(),
            below,
            traffic: Traffic::default(),
        });
    }

    /// An interrupt sink that counts what passes on its way to `sink`.
    pub(crate) fn count_messages(&self, sink: Arc<dyn SignalMsi>) -> Arc<dyn SignalMsi> {
        Arc::new(CountedMsi {
            sink,
            messages: self.msis.clone(),
        })
    }

    #[inline]
    fn of(&mut self, address: u64) -> &mut Accesses {
        let bus = address.wrapping_sub(self.ecam) >> ECAM_BUS_SHIFT;
        let bus = usize::try_from(bus).unwrap_or(usize::MAX);
        match self.config.get_mut(bus) {
            Some(accesses) => accesses,
            None => &mut self.memory,
        }
    }

    #[inline]
    pub(crate) fn read(&mut self, address: u64) {
        self.of(address).reads += 1;
    }

    #[inline]
    pub(crate) fn write(&mut self, address: u64) {
        self.of(address).writes += 1;
    }

    /// To be called after a write: the bus numbers may be others now.
    #[inline]
    pub(crate) fn written(&mut self, address: u64) {
        if address & REGISTER_MASK == BUS_NUMBERS {
            self.settle();
        }
    }

    /// Puts down what was counted to the ports as they were numbered, and notes how they are numbered now.
    fn settle(&mut self) {
        // How much was counted on all buses before each.
        let mut sum = Traffic::default();
        let mut before = [Traffic::default(); BUSES + 1];
        for (bus, before) in (0..=u8::MAX).zip(before.iter_mut().skip(1)) {
            let accesses = bus
                .checked_sub(self.first_bus)
                .and_then(|index| self.config.get_mut(usize::from(index)))
                .map(std::mem::take)
                .unwrap_or_default();
            sum.add(Traffic {
                config_reads: accesses.reads,
                config_writes: accesses.writes,
                msis: self.msis.take(bus),
            });
            *before = sum;
        }
        let up_to = |bus: usize| before.get(bus).copied().unwrap_or_default();
        for port in &mut self.ports {
            let (secondary, subordinate) = port.buses;
            if secondary != 0 && secondary <= subordinate {
                let passed = up_to(usize::from(subordinate) + 1).since(up_to(secondary.into()));
                port.traffic.add(passed);
            }
            port.buses = port.below.bus_range();
        }
        self.settled.add(sum);
    }

    pub(crate) fn of_complex(&mut self, name: &str) -> ComplexTraffic {
        self.settle();
        ComplexTraffic {
            complex: name.to_owned(),
            traffic: self.settled,
            memory_reads: self.memory.reads,
            memory_writes: self.memory.writes,
        }
    }

    pub(crate) fn of_ports(&mut self) -> impl Iterator<Item = PortTraffic> {
        self.settle();
        self.ports.iter().map(|port| PortTraffic {
            port: port.name.clone(),
            traffic: port.traffic,
        })
    }
}

/// Messages by the bus of their requester.
struct Messages([AtomicU64; BUSES]);

impl Default for Messages {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; BUSES])
    }
}

impl Messages {
    fn take(&self, bus: u8) -> u64 {
        let counter = self.0.get(usize::from(bus));
        counter.map_or(0, |counter| counter.swap(0, Ordering::Relaxed))
    }
}

struct CountedMsi {
    sink: Arc<dyn SignalMsi>,
    messages: Arc<Messages>,
}

impl SignalMsi for CountedMsi {
    fn signal_msi(&self, devid: Option<u32>, address: u64, data: u32) {
        let [_, bus, ..] = devid.unwrap_or_default().to_le_bytes();
        if let Some(counter) = self.messages.0.get(usize::from(bus)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        self.sink.signal_msi(devid, address, data);
    }
}
