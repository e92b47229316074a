//! The machine in a file: saved while no processor runs, restored in another process.
//!
//! The file says everything that the machine was made from, so that nothing else is needed to restore it but, for a guest that resets
//! itself later, the kernel. Its parts: a magic line, the length of the state and the state, then runs of memory, each an address, a
//! length and bytes, and runs of each disk that is in the monitor's memory alone. Pages that are all zero are left out. KVM's structures are kept as they are: they are an interface of the kernel
//! and do not change. The processor must be able to do what that of the saving host can.

use crate::BootSource;
use crate::Machine;
use crate::MachineConfig;
use crate::MachineError;
use crate::cpu_state::CpuState;
use crate::error::Kvm as _;
use crate::irqchip::IrqChipState;
use crate::machine::Shared;
use crate::memory::GuestRam;
use kvm_bindings::kvm_clock_data;
use mesh_protobuf::Protobuf;
use nvme::MemoryStorage;
use nvme::Storage;
use pcie_topology::EndpointSpec;
use pcie_topology::FunctionKind;
use pcie_topology::Hierarchy;
use pcie_topology::PlugError;
use pcie_topology::Topology;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::io::BufReader;
use std::io::BufWriter;
use std::io::Read;
use std::io::Write;
use std::path::Path;
use vm_memory::Address;
use vm_memory::Bytes;
use vm_memory::GuestAddress;
use vm_memory::GuestMemoryBackend;
use vm_memory::GuestMemoryRegion;
use vm_superio::serial::SerialState;
use vmcore::save_restore::ProtobufSaveRestore;
use vmcore::save_restore::SavedStateBlob;
use zerocopy::FromBytes;
use zerocopy::Immutable;
use zerocopy::IntoBytes;

const MAGIC: &[u8] = b"rootplex machine 1\n";
/// No machine's state is larger; a length beyond it is no length.
const STATE_LEN_MAX: u64 = 256 << 20;
const PAGE: usize = 4096;
/// Pages of a run at most.
const RUN_PAGES_MAX: usize = 256;
/// The address of the run that is none: the end.
const END: u64 = u64::MAX;

/// What there is beside memory.
#[derive(Protobuf)]
#[mesh(package = "vmm")]
struct MachineState {
    /// The description, as JSON.
    #[mesh(1)]
    topology: String,
    #[mesh(2)]
    kernel: String,
    #[mesh(3)]
    initrd: Option<String>,
    #[mesh(4)]
    cmdline: String,
    #[mesh(5)]
    memory_mib: u64,
    #[mesh(6)]
    hypervisor_bit: bool,
    #[mesh(7)]
    cpus: Vec<CpuRecord>,
    #[mesh(8)]
    irqchips: Vec<Structure>,
    #[mesh(9)]
    clock: Structure,
    #[mesh(10)]
    serial: Vec<SerialRecord>,
    /// Ports whose endpoint of the description was unplugged.
    #[mesh(11)]
    vacated: Vec<String>,
    /// What was plugged since.
    #[mesh(12)]
    plugged: Vec<PluggedRecord>,
    /// The state of each root complex and all below it.
    #[mesh(13)]
    complexes: Vec<SavedStateBlob>,
    /// The disks that are nowhere but in the machine, in the order in which their contents follow the memory.
    #[mesh(14)]
    disks: Vec<DiskRecord>,
}

/// One of KVM's structures.
#[derive(Protobuf)]
#[mesh(package = "vmm")]
struct Structure {
    #[mesh(1)]
    bytes: Vec<u8>,
}

#[derive(Protobuf)]
#[mesh(package = "vmm")]
struct CpuRecord {
    #[mesh(1)]
    run_state: Structure,
    #[mesh(2)]
    registers: Structure,
    #[mesh(3)]
    special_registers: Structure,
    #[mesh(4)]
    extended_state: Structure,
    #[mesh(5)]
    extended_control: Structure,
    #[mesh(6)]
    debug_registers: Structure,
    #[mesh(7)]
    local_apic: Structure,
    #[mesh(8)]
    model_specific: Vec<Structure>,
    #[mesh(9)]
    events: Structure,
}

/// Registers of a serial port, in the order of their offsets, and the bytes that came in.
#[derive(Protobuf)]
#[mesh(package = "vmm")]
struct SerialRecord {
    #[mesh(1)]
    divisor_low: u8,
    #[mesh(2)]
    divisor_high: u8,
    #[mesh(3)]
    interrupt_enable: u8,
    #[mesh(4)]
    interrupt_identification: u8,
    #[mesh(5)]
    line_control: u8,
    #[mesh(6)]
    modem_control: u8,
    #[mesh(7)]
    line_status: u8,
    #[mesh(8)]
    modem_status: u8,
    #[mesh(9)]
    scratch: u8,
    #[mesh(10)]
    received: Vec<u8>,
}

#[derive(Protobuf)]
#[mesh(package = "vmm")]
struct PluggedRecord {
    #[mesh(1)]
    port: String,
    /// The endpoint's description, as JSON.
    #[mesh(2)]
    endpoint: String,
}

#[derive(Protobuf)]
#[mesh(package = "vmm")]
struct DiskRecord {
    /// The endpoint.
    #[mesh(1)]
    name: String,
    /// Bytes, those that were never written included.
    #[mesh(2)]
    len: u64,
}

impl Structure {
    fn of(value: &(impl IntoBytes + Immutable)) -> Self {
        Self {
            bytes: value.as_bytes().to_vec(),
        }
    }

    fn to<T: FromBytes>(&self, name: &str) -> Result<T, MachineError> {
        T::read_from_bytes(&self.bytes).map_err(|_| {
            MachineError::Saved(format!(
                "{name} of {} bytes instead of {}",
                self.bytes.len(),
                size_of::<T>()
            ))
        })
    }
}

impl From<&CpuState> for CpuRecord {
    fn from(state: &CpuState) -> Self {
        Self {
            run_state: Structure::of(&state.run_state),
            registers: Structure::of(&state.registers),
            special_registers: Structure::of(&state.special_registers),
            extended_state: Structure::of(&state.extended_state),
            extended_control: Structure::of(&state.extended_control),
            debug_registers: Structure::of(&state.debug_registers),
            local_apic: Structure::of(&state.local_apic),
            model_specific: state.model_specific.iter().map(Structure::of).collect(),
            events: Structure::of(&state.events),
        }
    }
}

impl TryFrom<&CpuRecord> for CpuState {
    type Error = MachineError;

    fn try_from(record: &CpuRecord) -> Result<Self, MachineError> {
        let msr = |entry: &Structure| entry.to("a model specific register");
        Ok(Self {
            run_state: record.run_state.to("the run state")?,
            registers: record.registers.to("the registers")?,
            special_registers: record.special_registers.to("the special registers")?,
            extended_state: record.extended_state.to("the extended state")?,
            extended_control: record
                .extended_control
                .to("the extended control registers")?,
            debug_registers: record.debug_registers.to("the debug registers")?,
            local_apic: record.local_apic.to("the local APIC")?,
            model_specific: record
                .model_specific
                .iter()
                .map(msr)
                .collect::<Result<_, _>>()?,
            events: record.events.to("the events")?,
        })
    }
}

impl From<SerialState> for SerialRecord {
    fn from(state: SerialState) -> Self {
        Self {
            divisor_low: state.baud_divisor_low,
            divisor_high: state.baud_divisor_high,
            interrupt_enable: state.interrupt_enable,
            interrupt_identification: state.interrupt_identification,
            line_control: state.line_control,
            modem_control: state.modem_control,
            line_status: state.line_status,
            modem_status: state.modem_status,
            scratch: state.scratch,
            received: state.in_buffer,
        }
    }
}

impl From<SerialRecord> for SerialState {
    fn from(record: SerialRecord) -> Self {
        Self {
            baud_divisor_low: record.divisor_low,
            baud_divisor_high: record.divisor_high,
            interrupt_enable: record.interrupt_enable,
            interrupt_identification: record.interrupt_identification,
            line_control: record.line_control,
            modem_control: record.modem_control,
            line_status: record.line_status,
            modem_status: record.modem_status,
            scratch: record.scratch,
            in_buffer: record.received,
        }
    }
}

/// Saves the machine, whose processors stand still.
pub(crate) fn save(
    shared: &Shared,
    config: &MachineConfig,
    path: &Path,
) -> Result<(), MachineError> {
    // What was submitted to disks is carried out when their state is taken, so their contents come after it.
    let mut state = take(shared, config)?;
    let disks = shared.memory_disks();
    state.disks = disks
        .iter()
        .map(|(name, disk)| DiskRecord {
            name: name.clone(),
            len: disk.len(),
        })
        .collect();
    let write = || -> io::Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        file.write_all(MAGIC)?;
        let state = mesh_protobuf::encode(state);
        file.write_all(&(state.len() as u64).to_le_bytes())?;
        file.write_all(&state)?;
        write_memory(&shared.ram, &mut file)?;
        for disk in disks.values() {
            write_disk(disk, &mut file)?;
        }
        file.flush()
    };
    write().map_err(|source| MachineError::File {
        path: path.to_path_buf(),
        source,
    })
}

fn take(shared: &Shared, config: &MachineConfig) -> Result<MachineState, MachineError> {
    let mut locked = shared.bus.hierarchy.lock();
    let hierarchy = locked.as_mut();
    let mut cpus = Vec::new();
    for cpu in &shared.cpus {
        cpus.push(CpuRecord::from(&cpu.lock().take_state()?));
    }
    let clock = shared.vm.get_clock().during("KVM_GET_CLOCK")?;
    let irqchips = IrqChipState::take(&shared.vm)?;
    let occupancy = Occupancy::of(&config.topology, hierarchy, &shared.plugged.lock())?;
    let mut complexes = Vec::new();
    for complex in &mut hierarchy.complexes {
        let saved = ProtobufSaveRestore::save(&mut complex.root);
        complexes.push(saved.map_err(|error| {
            MachineError::Saved(format!("root complex '{}': {error}", complex.name))
        })?);
    }
    let text = |path: &Path| path.to_string_lossy().into_owned();
    Ok(MachineState {
        topology: to_json(&config.topology)?,
        kernel: text(&config.boot.kernel),
        initrd: config.boot.initrd.as_deref().map(text),
        cmdline: config.boot.cmdline.clone(),
        memory_mib: config.memory_mib,
        hypervisor_bit: config.hypervisor_bit,
        cpus,
        irqchips: irqchips.0.iter().map(Structure::of).collect(),
        clock: Structure::of(&clock),
        serial: shared
            .bus
            .serial
            .iter()
            .map(|serial| serial.state().into())
            .collect(),
        vacated: occupancy.vacated,
        plugged: occupancy
            .plugged
            .iter()
            .map(|(port, endpoint)| {
                Ok(PluggedRecord {
                    port: port.clone(),
                    endpoint: to_json(endpoint)?,
                })
            })
            .collect::<Result<_, MachineError>>()?,
        complexes,
        disks: Vec::new(),
    })
}

fn to_json(value: &impl serde::Serialize) -> Result<String, MachineError> {
    serde_json::to_string(value).map_err(|error| MachineError::Saved(error.to_string()))
}

fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, MachineError> {
    serde_json::from_str(text).map_err(|error| MachineError::Saved(error.to_string()))
}

/// How what is in the slots differs from the description.
#[derive(Debug, Default, PartialEq, Eq)]
struct Occupancy {
    vacated: Vec<String>,
    plugged: BTreeMap<String, EndpointSpec>,
}

impl Occupancy {
    /// `plugged` is what was plugged by description; what is there by other means cannot be saved.
    fn of(
        topology: &Topology,
        hierarchy: &Hierarchy,
        plugged: &BTreeMap<String, EndpointSpec>,
    ) -> Result<Self, MachineError> {
        let described = described_devices(topology);
        let mut present = BTreeMap::new();
        for function in hierarchy.functions() {
            let below_a_port = matches!(
                function.kind,
                FunctionKind::Endpoint | FunctionKind::UpstreamPort
            );
            if let Some(port) = function.parent.filter(|_| below_a_port) {
                present.insert(port, function.name);
            }
        }
        let mut occupancy = Self::default();
        for (port, name) in &described {
            if present.get(port) != Some(name) {
                occupancy.vacated.push(port.clone());
            }
        }
        // What is below a device that is gone is gone with it, and cannot be unplugged a second time.
        let gone = |port: &String| !hierarchy.port_names().contains(port);
        occupancy.vacated.retain(|port| !gone(port));
        for (port, name) in present {
            if described.get(&port) == Some(&name) {
                continue;
            }
            match plugged.get(&port) {
                Some(endpoint) if endpoint.name == name => {
                    occupancy.plugged.insert(port, endpoint.clone());
                }
                _ => {
                    return Err(MachineError::Saved(format!(
                        "nobody described '{name}' on port '{port}': it was not plugged by MachineHandle::plug"
                    )));
                }
            }
        }
        Ok(occupancy)
    }

    /// Makes a newly composed hierarchy so.
    fn apply(
        &self,
        hierarchy: &mut Hierarchy,
        plug: impl Fn(&mut Hierarchy, &str, &EndpointSpec) -> Result<(), PlugError>,
    ) -> Result<(), MachineError> {
        let refused = |error: PlugError| MachineError::Saved(error.to_string());
        for port in &self.vacated {
            hierarchy.unplug(port).map_err(refused)?;
        }
        for (port, endpoint) in &self.plugged {
            plug(hierarchy, port, endpoint).map_err(refused)?;
        }
        Ok(())
    }
}

/// The names of the devices behind ports, by port.
fn described_devices(topology: &Topology) -> BTreeMap<String, String> {
    let mut devices = BTreeMap::new();
    let mut ports: Vec<_> = topology
        .root_complex
        .iter()
        .flat_map(|complex| &complex.port)
        .collect();
    while let Some(port) = ports.pop() {
        if let Some(switch) = &port.switch {
            devices.insert(port.name.clone(), switch.name.clone());
            ports.extend(&switch.port);
        } else if let Some(endpoint) = &port.endpoint {
            devices.insert(port.name.clone(), endpoint.name.clone());
        }
    }
    devices
}

/// Makes the machine that a file holds.
pub(crate) fn restore(path: &Path) -> Result<Machine, MachineError> {
    let file_error = |source| MachineError::File {
        path: path.to_path_buf(),
        source,
    };
    let mut file = BufReader::new(File::open(path).map_err(file_error)?);
    let state = read_state(&mut file).map_err(file_error)?;
    let config = MachineConfig {
        topology: from_json(&state.topology)?,
        boot: BootSource {
            kernel: state.kernel.clone().into(),
            initrd: state.initrd.clone().map(Into::into),
            cmdline: state.cmdline.clone(),
        },
        cpus: u32::try_from(state.cpus.len()).unwrap_or(u32::MAX),
        memory_mib: state.memory_mib,
        hypervisor_bit: state.hypervisor_bit,
    };
    let machine = Machine::without_kernel(config)?;
    let shared = machine.shared();
    read_memory(&shared.ram, &mut file).map_err(file_error)?;
    put(shared, state, path, &mut file)?;
    Ok(machine)
}

/// Puts the state into a machine that was just made, and the contents of disks, which the rest of the file has. The interrupt controllers
/// come after the hierarchy: they forget what it signalled on the way. Disks come before it: controllers go on with what they had begun.
fn put(
    shared: &Shared,
    state: MachineState,
    path: &Path,
    file: &mut impl Read,
) -> Result<(), MachineError> {
    let occupancy = Occupancy {
        vacated: state.vacated,
        plugged: state
            .plugged
            .iter()
            .map(|record| Ok((record.port.clone(), from_json(&record.endpoint)?)))
            .collect::<Result<_, MachineError>>()?,
    };
    let mut locked = shared.bus.hierarchy.lock();
    let hierarchy = locked.as_mut();
    occupancy.apply(hierarchy, |hierarchy, port, endpoint| {
        shared.plug(hierarchy, port, endpoint)
    })?;
    *shared.plugged.lock() = occupancy.plugged;
    let disks = shared.memory_disks();
    for record in &state.disks {
        let disk = disks
            .get(&record.name)
            .filter(|disk| disk.len() == record.len)
            .ok_or_else(|| {
                MachineError::Saved(format!(
                    "disk '{}' of {} bytes is not in the machine",
                    record.name, record.len
                ))
            })?;
        read_disk(disk, file).map_err(|source| MachineError::File {
            path: path.to_path_buf(),
            source,
        })?;
    }
    for (complex, saved) in hierarchy.complexes.iter_mut().zip(state.complexes) {
        ProtobufSaveRestore::restore(&mut complex.root, saved).map_err(|error| {
            MachineError::Saved(format!("root complex '{}': {error}", complex.name))
        })?;
    }
    for (serial, record) in shared.bus.serial.iter().zip(state.serial) {
        let restored = serial.set_state(&record.into());
        restored.map_err(|error| MachineError::Saved(format!("a serial port: {error}")))?;
    }
    let irqchips = state.irqchips.iter();
    IrqChipState(
        irqchips
            .map(|chip| chip.to("an interrupt controller"))
            .collect::<Result<_, _>>()?,
    )
    .put(&shared.vm)?;
    let clock: kvm_clock_data = state.clock.to("the clock")?;
    // The other fields say how exact it is, and KVM takes no such claims.
    let clock = kvm_clock_data {
        clock: clock.clock,
        ..kvm_clock_data::default()
    };
    shared.vm.set_clock(&clock).during("KVM_SET_CLOCK")?;
    for (cpu, record) in shared.cpus.iter().zip(&state.cpus) {
        cpu.lock().put_state(&CpuState::try_from(record)?)?;
    }
    Ok(())
}

fn invalid(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

fn read_state(file: &mut impl Read) -> io::Result<MachineState> {
    let mut magic = [0; MAGIC.len()];
    file.read_exact(&mut magic)?;
    if magic != MAGIC {
        return Err(invalid("this is no saved machine"));
    }
    let len = read_u64(file)?;
    if len > STATE_LEN_MAX {
        return Err(invalid(format!(
            "a state of {len} bytes; {STATE_LEN_MAX} is the most"
        )));
    }
    let mut state = Vec::new();
    file.take(len).read_to_end(&mut state)?;
    mesh_protobuf::decode(&state).map_err(|error| invalid(error.to_string()))
}

fn read_u64(file: &mut impl Read) -> io::Result<u64> {
    let mut bytes = [0; 8];
    file.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// Writes the pages that are not all zero, in runs.
fn write_memory(ram: &GuestRam, file: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; RUN_PAGES_MAX * PAGE];
    for region in ram.iter() {
        let start = region.start_addr().raw_value();
        for offset in (0..region.len()).step_by(buffer.len()) {
            let len = buffer
                .len()
                .min(usize::try_from(region.len() - offset).unwrap_or(usize::MAX));
            let chunk = buffer.get_mut(..len).unwrap_or_default();
            ram.read_slice(chunk, GuestAddress(start + offset))
                .map_err(io::Error::other)?;
            write_runs(start + offset, chunk, file)?;
        }
    }
    file.write_all(&END.to_le_bytes())
}

fn write_runs(address: u64, memory: &[u8], file: &mut impl Write) -> io::Result<()> {
    let is_zero = |page: &&[u8]| page.iter().all(|byte| *byte == 0);
    let mut pages = memory.chunks(PAGE);
    let mut address = address;
    let mut rest = memory;
    loop {
        // The last page of a disk may be a part of one.
        let zero = (pages.clone().take_while(is_zero).count() * PAGE).min(rest.len());
        pages = rest.get(zero..).unwrap_or_default().chunks(PAGE);
        let used = pages.clone().take_while(|page| !is_zero(page)).count() * PAGE;
        let used = used.min(rest.len() - zero);
        let Some(run) = rest.get(zero..zero + used).filter(|run| !run.is_empty()) else {
            return Ok(());
        };
        file.write_all(&(address + zero as u64).to_le_bytes())?;
        file.write_all(&(used as u64).to_le_bytes())?;
        file.write_all(run)?;
        address += (zero + used) as u64;
        rest = rest.get(zero + used..).unwrap_or_default();
        pages = rest.chunks(PAGE);
    }
}

/// Reads the runs into memory that is all zero.
fn read_memory(ram: &GuestRam, file: &mut impl Read) -> io::Result<()> {
    read_runs(file, |address, run| {
        ram.write_slice(run, GuestAddress(address))
            .map_err(io::Error::other)
    })
}

/// Writes what was written to a disk and is not zero, in runs like those of memory.
fn write_disk(disk: &MemoryStorage, file: &mut impl Write) -> io::Result<()> {
    disk.for_each_chunk(|offset, chunk| write_runs(offset, chunk, file))?;
    file.write_all(&END.to_le_bytes())
}

/// Reads the runs into a disk that is all zero.
fn read_disk(disk: &MemoryStorage, file: &mut impl Read) -> io::Result<()> {
    read_runs(file, |offset, run| disk.write_at(offset, run))
}

fn read_runs(
    file: &mut impl Read,
    mut take: impl FnMut(u64, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffer = Vec::new();
    loop {
        let address = read_u64(file)?;
        if address == END {
            return Ok(());
        }
        let len = usize::try_from(read_u64(file)?).unwrap_or(usize::MAX);
        if len > RUN_PAGES_MAX * PAGE {
            return Err(invalid(format!("a run of {len} bytes at {address:#x}")));
        }
        buffer.resize(len, 0);
        file.read_exact(&mut buffer)?;
        take(address, &buffer)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chipset_device::mmio::ExternallyManagedMmioIntercepts;

    fn ram() -> GuestRam {
        GuestRam::from_ranges(&[(GuestAddress(0), 3 << 20), (GuestAddress(1 << 32), 1 << 20)])
            .unwrap()
    }

    #[test]
    fn memory_comes_back_and_zero_pages_cost_nothing() {
        let places = [
            0,
            0x1000,
            0x1fff,
            0xf_ffff,
            0x10_0000,
            0x2f_f000,
            0x1_0000_0000,
        ];
        let before = ram();
        for place in places {
            before.write_obj(0x5au8, GuestAddress(place)).unwrap();
        }
        let mut file = Vec::new();
        write_memory(&before, &mut file).unwrap();
        // Six pages in five runs: 0 and 1 are one, and a run ends with each mebibyte.
        assert_eq!(file.len(), 6 * PAGE + 5 * 16 + 8);
        let after = ram();
        read_memory(&after, &mut &file[..]).unwrap();
        let bytes = |ram: &GuestRam| {
            let mut bytes = vec![0; 3 << 20];
            ram.read_slice(&mut bytes, GuestAddress(0)).unwrap();
            let high: u8 = ram.read_obj(GuestAddress(1 << 32)).unwrap();
            (bytes, high)
        };
        assert!(bytes(&before) == bytes(&after));
        assert_eq!(bytes(&after).1, 0x5a);
    }

    #[test]
    fn a_disk_in_memory_comes_back() {
        const LEN: usize = (1 << 20) + 512;
        let before = MemoryStorage::new(LEN as u64);
        for (offset, bytes) in [
            (0u64, &b"first"[..]),
            (0x1_fffe, b"across"),
            (LEN as u64 - 1, b"z"),
        ] {
            before.write_at(offset, bytes).unwrap();
        }
        // Written, and zero again.
        before.write_at(0x8_0000, &[0; 0x2000]).unwrap();
        let mut file = Vec::new();
        write_disk(&before, &mut file).unwrap();
        // Three pages that are not zero, and the last block, each a run, as they lie in different chunks.
        assert_eq!(file.len(), 3 * (PAGE + 16) + (512 + 16) + 8);
        let after = MemoryStorage::new(LEN as u64);
        read_disk(&after, &mut &file[..]).unwrap();
        let bytes = |disk: &MemoryStorage| {
            let mut bytes = vec![0xff; LEN];
            disk.read_at(0, &mut bytes).unwrap();
            bytes
        };
        assert!(bytes(&before) == bytes(&after));
        assert_eq!(bytes(&after)[0x1_fffe..0x2_0004], *b"across");
        let smaller = MemoryStorage::new(1 << 16);
        assert!(read_disk(&smaller, &mut &file[..]).is_err());
    }

    #[test]
    fn damaged_files_are_refused() {
        let message = |bytes: &[u8]| read_state(&mut &bytes[..]).err().unwrap().to_string();
        assert_eq!(message(&[b'x'; 64]), "this is no saved machine");
        let long = [MAGIC, &u64::MAX.to_le_bytes()].concat();
        assert_eq!(
            message(&long),
            "a state of 18446744073709551615 bytes; 268435456 is the most"
        );
        let run = [1u64 << 40, 1 << 40].map(u64::to_le_bytes).concat();
        let error = read_memory(&ram(), &mut &run[..]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a run of 1099511627776 bytes at 0x10000000000"
        );
        let outside = [&(1u64 << 40).to_le_bytes()[..], &1u64.to_le_bytes(), &[0]].concat();
        assert!(read_memory(&ram(), &mut &outside[..]).is_err());
    }

    const TOPOLOGY: &str = r#"
        [[root_complex]]
        name = "rc0"
        ecam = 0xe000_0000
        port = [
            { name = "a", slot = 1, endpoint = { name = "e0" } },
            { name = "b", slot = 2 },
            { name = "c", slot = 3, switch = { name = "s", port = [{ name = "d", endpoint = { name = "e1" } }] } },
        ]
    "#;

    fn hierarchy() -> (Topology, Hierarchy) {
        let topology = Topology::from_toml(TOPOLOGY).unwrap();
        let hierarchy = topology
            .compose(&mut ExternallyManagedMmioIntercepts, None)
            .unwrap();
        (topology, hierarchy)
    }

    #[test]
    fn what_was_plugged_and_unplugged_is_found_and_done_again() {
        let (topology, mut before) = hierarchy();
        let nothing = Occupancy::of(&topology, &before, &BTreeMap::new()).unwrap();
        assert_eq!(nothing, Occupancy::default());

        let new = EndpointSpec::new("new");
        before.unplug("a").unwrap();
        before.unplug("c").unwrap();
        before.plug("b", &new).unwrap();
        let plugged = BTreeMap::from([("b".to_string(), new)]);
        let occupancy = Occupancy::of(&topology, &before, &plugged).unwrap();
        assert_eq!(occupancy.vacated, ["a", "c"]);

        let (_, mut after) = hierarchy();
        occupancy.apply(&mut after, Hierarchy::plug).unwrap();
        let names = |hierarchy: &Hierarchy| -> Vec<String> {
            let functions = hierarchy.functions();
            functions
                .into_iter()
                .map(|function| function.name)
                .collect()
        };
        assert_eq!(names(&after), names(&before));
        assert_eq!(names(&after), ["a", "b", "new", "c"]);
    }

    #[test]
    fn a_device_that_nobody_described_cannot_be_saved() {
        let (topology, mut hierarchy) = hierarchy();
        hierarchy.plug("b", &EndpointSpec::new("new")).unwrap();
        let error = Occupancy::of(&topology, &hierarchy, &BTreeMap::new()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the saved machine does not fit: nobody described 'new' on port 'b': it was not plugged by MachineHandle::plug"
        );
    }
}
