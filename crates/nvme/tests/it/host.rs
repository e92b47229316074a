//! A guest with an NVMe driver that does what Linux's does, and its memory.

use chipset_device::io::IoResult;
use chipset_device::mmio::ExternallyManagedMmioIntercepts;
use nvme::MemoryStorage;
use nvme::NvmeConfig;
use nvme::NvmeController;
use nvme::Storage;
use nvme::VmMemory;
use nvme::spec::AdminOpcode;
use nvme::spec::Completion;
use nvme::spec::IoOpcode;
use nvme::spec::SubmissionEntry;
use pci_bus::GenericPciBusDevice;
use pci_bus::ManagedDevice;
use pci_core::bus_range::AssignedBusRange;
use pci_core::msi::MsiConnection;
use std::sync::Arc;
use testkit::MsiSink;
use vm_memory::GuestAddress;
use vm_memory::GuestMemoryMmap;
use vmcore::guest_memory::GuestMemory;
use vmcore::save_restore::SavedStateBlob;
use zerocopy::FromBytes;
use zerocopy::FromZeros;
use zerocopy::IntoBytes;

pub(crate) const MEMORY: usize = 8 << 20;
pub(crate) const PAGE: u64 = 4096;
pub(crate) const BAR: u64 = 0xfe00_0000;
pub(crate) const MSI_ADDRESS: u64 = 0xfee0_0000;
/// Vector `n` sends this plus `n`.
pub(crate) const MSI_DATA: u32 = 0x40;
/// How often a wait looks before it gives up.
const PATIENCE: u64 = 50_000_000;

const CAP: u64 = 0x00;
const CC: u64 = 0x14;
const CSTS: u64 = 0x1c;
const AQA: u64 = 0x24;
const ASQ: u64 = 0x28;
const ACQ: u64 = 0x30;
pub(crate) const CC_ENABLE: u32 = 0x0046_0001;

pub(crate) const READY: u32 = 1;
pub(crate) const FATAL: u32 = 2;

/// Where things are in memory: queues first, then data.
pub(crate) const DATA: u64 = 0x40_0000;

pub(crate) type Memory = Arc<VmMemory<GuestMemoryMmap>>;

pub(crate) fn memory() -> Memory {
    let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), MEMORY)]).unwrap();
    Arc::new(VmMemory(memory))
}

/// The driver's side of a queue pair.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    pub(crate) id: u16,
    pub(crate) size: u16,
    pub(crate) tail: u16,
    pub(crate) head: u16,
    pub(crate) phase: u16,
    pub(crate) cid: u16,
}

impl Queue {
    pub(crate) fn new(id: u16, size: u16) -> Self {
        Self {
            id,
            size,
            tail: 0,
            head: 0,
            phase: 1,
            cid: 0,
        }
    }

    pub(crate) fn submission(&self) -> u64 {
        0x1_0000 + u64::from(self.id) * 0x2_0000
    }

    pub(crate) fn completion(&self) -> u64 {
        self.submission() + 0x1_0000
    }
}

pub(crate) struct Host {
    pub(crate) memory: Memory,
    pub(crate) device: NvmeController,
    pub(crate) sink: Arc<MsiSink>,
    pub(crate) admin: Queue,
}

pub(crate) fn command(opcode: u8, nsid: u32) -> SubmissionEntry {
    let mut command = SubmissionEntry::new_zeroed();
    command.opcode = opcode;
    command.nsid = nsid.into();
    command
}

pub(crate) fn io(opcode: IoOpcode, lba: u64, blocks: u32, prp1: u64, prp2: u64) -> SubmissionEntry {
    let mut command = command(opcode as u8, 1);
    command.cdw10_15[0] = (lba as u32).into();
    command.cdw10_15[1] = ((lba >> 32) as u32).into();
    command.cdw10_15[2] = (blocks - 1).into();
    command.prp1 = prp1.into();
    command.prp2 = prp2.into();
    command
}

/// Status Code Type and Status Code.
pub(crate) fn status(completion: &Completion) -> u16 {
    (completion.status.get() >> 1) & 0x7ff
}

pub(crate) fn device(
    config: &NvmeConfig,
    storage: Box<dyn Storage>,
    memory: Memory,
    sink: &Arc<MsiSink>,
) -> NvmeController {
    let connection = MsiConnection::new(AssignedBusRange::new(), 0);
    connection.connect(sink.clone());
    NvmeController::new(
        config,
        storage,
        memory,
        connection.target(),
        &mut ExternallyManagedMmioIntercepts,
    )
    .unwrap()
}

impl Host {
    /// A controller with 64 MiB of memory behind it, not enabled.
    pub(crate) fn new() -> Self {
        Self::with(
            &NvmeConfig::new("disk0"),
            Box::new(MemoryStorage::new(64 << 20)),
        )
    }

    pub(crate) fn with(config: &NvmeConfig, storage: Box<dyn Storage>) -> Self {
        let (memory, sink) = (memory(), MsiSink::new());
        let device = device(config, storage, memory.clone(), &sink);
        let mut host = Self {
            memory,
            device,
            sink,
            admin: Queue::new(0, 32),
        };
        host.map();
        host
    }

    /// The same guest on another host: another controller, which takes `state`, and a copy of the memory as it is.
    pub(crate) fn move_to_another(&mut self, state: SavedStateBlob) {
        let (memory, sink) = (memory(), MsiSink::new());
        memory.write(0, &self.bytes(0, MEMORY)).unwrap();
        let storage = MemoryStorage::new(64 << 20);
        self.device = device(
            &NvmeConfig::new("disk0"),
            Box::new(storage),
            memory.clone(),
            &sink,
        );
        ManagedDevice::check(&mut self.device, &state).unwrap();
        ManagedDevice::restore(&mut self.device, state).unwrap();
        self.memory = memory;
        self.sink = sink;
    }

    /// As firmware and the PCI core do: D0, BAR, decoding, bus mastering, MSI-X.
    pub(crate) fn map(&mut self) {
        let power = self.capability(0x01);
        self.config_write(power + 4, 0);
        self.config_write(0x10, BAR as u32);
        self.config_write(0x14, 0);
        self.config_write(0x04, 0x6);
        for vector in 0..self.vectors() {
            let entry = BAR + 0x2000 + u64::from(vector) * 16;
            self.write64(entry, MSI_ADDRESS);
            self.write32(entry + 8, MSI_DATA + vector);
            self.write32(entry + 12, 0);
        }
        let msix = self.capability(0x11);
        let control = self.config_read(msix);
        self.config_write(msix, control | 1 << 31);
    }

    fn vectors(&mut self) -> u32 {
        let msix = self.capability(0x11);
        ((self.config_read(msix) >> 16) & 0x7ff) + 1
    }

    pub(crate) fn capability(&mut self, id: u32) -> u16 {
        let mut at = self.config_read(0x34) as u16 & 0xfc;
        while at != 0 {
            let header = self.config_read(at);
            if header & 0xff == id {
                return at;
            }
            at = (header >> 8) as u16 & 0xfc;
        }
        panic!("no capability {id:#x}")
    }

    pub(crate) fn config_read(&mut self, offset: u16) -> u32 {
        let mut value = 0;
        self.device
            .pci_cfg_read(offset, &mut value)
            .unwrap()
            .unwrap();
        value
    }

    pub(crate) fn config_write(&mut self, offset: u16, value: u32) {
        self.device.pci_cfg_write(offset, value).unwrap().unwrap();
    }

    pub(crate) fn read32(&mut self, address: u64) -> u32 {
        let mut data = [0; 4];
        self.device.mmio_read(address, &mut data).unwrap().unwrap();
        u32::from_le_bytes(data)
    }

    pub(crate) fn write32(&mut self, address: u64, value: u32) {
        let written = self.device.mmio_write(address, &value.to_le_bytes());
        written.unwrap().unwrap();
    }

    pub(crate) fn write64(&mut self, address: u64, value: u64) {
        let written: IoResult = self
            .device
            .mmio_write(address, &value.to_le_bytes())
            .unwrap();
        written.unwrap();
    }

    pub(crate) fn csts(&mut self) -> u32 {
        self.read32(BAR + CSTS)
    }

    pub(crate) fn wait_csts(&mut self, mask: u32, value: u32) {
        for _ in 0..PATIENCE {
            if self.csts() & mask == value {
                return;
            }
            std::thread::yield_now();
        }
        panic!("CSTS stays {:#x}", self.csts());
    }

    /// Disables, programs the admin queue, enables, and waits.
    pub(crate) fn enable(&mut self) {
        let mut cap = [0; 8];
        self.device.mmio_read(BAR + CAP, &mut cap).unwrap().unwrap();
        assert_eq!(u64::from_le_bytes(cap) & 0xffff, 1023, "CAP.MQES");
        self.write32(BAR + CC, 0);
        self.wait_csts(READY, 0);
        self.admin = Queue::new(0, self.admin.size);
        let last = u32::from(self.admin.size - 1);
        for at in (0..0x2_0000).step_by(PAGE as usize) {
            self.memory
                .write(self.admin.submission() + at, &[0; PAGE as usize])
                .unwrap();
        }
        self.write32(BAR + AQA, last << 16 | last);
        self.write64(BAR + ASQ, self.admin.submission());
        self.write64(BAR + ACQ, self.admin.completion());
        self.write32(BAR + CC, CC_ENABLE);
        self.wait_csts(READY | FATAL, READY);
    }

    /// Puts a command into a queue without telling the controller; returns its identifier.
    pub(crate) fn put(&mut self, queue: &mut Queue, mut command: SubmissionEntry) -> u16 {
        queue.cid = queue.cid.wrapping_add(1);
        command.cid = queue.cid.into();
        let at = queue.submission() + u64::from(queue.tail) * 64;
        self.memory.write(at, command.as_bytes()).unwrap();
        queue.tail = (queue.tail + 1) % queue.size;
        queue.cid
    }

    pub(crate) fn ring(&mut self, queue: &Queue) {
        self.write32(BAR + 0x1000 + u64::from(queue.id) * 8, queue.tail.into());
    }

    pub(crate) fn submit(&mut self, queue: &mut Queue, command: SubmissionEntry) -> u16 {
        let cid = self.put(queue, command);
        self.ring(queue);
        cid
    }

    /// Takes the next completion, if there is one, without telling the controller.
    pub(crate) fn take(&mut self, queue: &mut Queue) -> Option<Completion> {
        let at = queue.completion() + u64::from(queue.head) * 16;
        let mut tagged = [0; 2];
        self.memory.read(at + 14, &mut tagged).unwrap();
        if u16::from_le_bytes(tagged) & 1 != queue.phase {
            return None;
        }
        std::sync::atomic::fence(std::sync::atomic::Ordering::Acquire);
        let mut entry = [0; 16];
        self.memory.read(at, &mut entry).unwrap();
        queue.head += 1;
        if queue.head == queue.size {
            queue.head = 0;
            queue.phase ^= 1;
        }
        Some(Completion::read_from_bytes(&entry).unwrap())
    }

    pub(crate) fn acknowledge(&mut self, queue: &Queue) {
        self.write32(BAR + 0x1004 + u64::from(queue.id) * 8, queue.head.into());
    }

    pub(crate) fn wait(&mut self, queue: &mut Queue) -> Completion {
        for _ in 0..PATIENCE {
            if let Some(completion) = self.take(queue) {
                self.acknowledge(queue);
                return completion;
            }
            std::thread::yield_now();
        }
        panic!("no completion in queue {}", queue.id)
    }

    /// Carries out one command.
    pub(crate) fn run(&mut self, queue: &mut Queue, command: SubmissionEntry) -> Completion {
        let cid = self.submit(queue, command);
        let completion = self.wait(queue);
        assert_eq!(
            (completion.cid.get(), completion.sq_id.get()),
            (cid, queue.id)
        );
        completion
    }

    pub(crate) fn run_admin(&mut self, command: SubmissionEntry) -> Completion {
        let mut admin = self.admin.clone();
        let completion = self.run(&mut admin, command);
        self.admin = admin;
        completion
    }

    pub(crate) fn create_completion(&mut self, queue: &Queue, vector: u32) -> u16 {
        let mut create = command(AdminOpcode::CreateCompletionQueue as u8, 0);
        create.prp1 = queue.completion().into();
        create.cdw10_15[0] = (u32::from(queue.size - 1) << 16 | u32::from(queue.id)).into();
        create.cdw10_15[1] = (vector << 16 | 0b11).into();
        status(&self.run_admin(create))
    }

    pub(crate) fn create_submission(&mut self, queue: &Queue) -> u16 {
        let mut create = command(AdminOpcode::CreateSubmissionQueue as u8, 0);
        create.prp1 = queue.submission().into();
        create.cdw10_15[0] = (u32::from(queue.size - 1) << 16 | u32::from(queue.id)).into();
        create.cdw10_15[1] = (u32::from(queue.id) << 16 | 1).into();
        status(&self.run_admin(create))
    }

    /// Creates a queue pair, whose vector is its number.
    pub(crate) fn create_queue(&mut self, id: u16, size: u16) -> Queue {
        let queue = Queue::new(id, size);
        self.clear(queue.completion(), 0x1_0000);
        assert_eq!(self.create_completion(&queue, id.into()), 0);
        assert_eq!(self.create_submission(&queue), 0);
        queue
    }

    pub(crate) fn clear(&self, at: u64, len: usize) {
        self.memory.write(at, &vec![0; len]).unwrap();
    }

    pub(crate) fn bytes(&self, at: u64, len: usize) -> Vec<u8> {
        let mut data = vec![0; len];
        self.memory.read(at, &mut data).unwrap();
        data
    }

    pub(crate) fn set_bytes(&self, at: u64, data: &[u8]) {
        self.memory.write(at, data).unwrap();
    }

    /// What an admin command that gives 4 KiB of data gives, at [`DATA`].
    pub(crate) fn admin_data(&mut self, mut command: SubmissionEntry) -> (u16, Vec<u8>) {
        self.clear(DATA, 8192);
        command.prp1 = DATA.into();
        let status = status(&self.run_admin(command));
        (status, self.bytes(DATA, 4096))
    }

    /// The value at a path of the inspection tree.
    pub(crate) fn look(&mut self, path: &str) -> String {
        inspect::inspect(path, &mut self.device)
            .results()
            .to_string()
    }

    /// Interrupts of a vector since the last look.
    pub(crate) fn interrupts(&self, vector: u32) -> usize {
        let messages = self.sink.take();
        messages
            .iter()
            .filter(|message| message.data == MSI_DATA + vector)
            .count()
    }
}
