//! Controllers from descriptions of hierarchies.

use crate::config::NvmeConfig;
use crate::config::NvmeError;
use crate::device::NvmeController;
use crate::storage::FileStorage;
use crate::storage::MemoryStorage;
use crate::storage::Storage;
use parking_lot::Mutex;
use pci_bus::GenericPciBusDevice;
use pcie_topology::DeviceConnections;
use pcie_topology::DeviceError;
use pcie_topology::DeviceFactory;
use pcie_topology::EndpointSpec;
use pcie_topology::Size;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Weak;
use vmcore::doorbell::DoorbellRegistration;
use vmcore::guest_memory::GuestMemory;

/// Makes the endpoints of kind `"nvme"`.
///
/// | option | meaning | unless said |
/// | --- | --- | --- |
/// | `file` | path of a file or block device | memory, forgotten with the controller: see [`Self::memory_disks`] |
/// | `size` | bytes, as a number or like `"8G"`; a file that is not there is made, one that is shorter is made longer | the file's |
/// | `read_only` | whether the namespace can't be written | `false` |
/// | `queues` | I/O queue pairs, 1 to 128 | 8 |
/// | `workers` | threads for I/O, 1 to 16 | 4 |
/// | `serial` | serial number | derived from the endpoint's name |
/// | `model` | model number | this project's |
/// | `block_size` | 512 or 4096 | 512 |
///
/// IDs, serial number, link and place are those of the [`EndpointSpec`].
///
/// ```
/// use chipset_device::mmio::ExternallyManagedMmioIntercepts;
/// use nvme::{NvmeFactory, VmMemory};
/// use pcie_topology::Topology;
/// use std::sync::Arc;
/// use vm_memory::{GuestAddress, GuestMemoryMmap};
///
/// let memory: GuestMemoryMmap = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 1 << 20)])?;
/// let mut factory = NvmeFactory::new(Arc::new(VmMemory(memory)));
/// let topology = |options: &str| Topology::from_toml(&format!(r#"
///     [[root_complex]]
///     name = "rc0"
///     ecam = 0xe000_0000
///
///     [[root_complex.port]]
///     name = "rp0"
///     endpoint = {{ name = "disk0", kind = "nvme", options = {{ {options} }} }}
/// "#));
/// let hierarchy = topology(r#"size = "1G", queues = 2"#)?
///     .compose_with(&mut ExternallyManagedMmioIntercepts, None, &mut factory)?;
/// assert_eq!(hierarchy.functions()[1].name, "disk0");
///
/// let error = topology(r#"size = "1G", queues = 0"#)?
///     .compose_with(&mut ExternallyManagedMmioIntercepts, None, &mut factory).err().unwrap();
/// assert_eq!(
///     error.to_string(),
///     "root_complex[0]: endpoint 'disk0': queues: 0; a controller has 1 to 128 I/O queue pairs"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct NvmeFactory {
    memory: Arc<dyn GuestMemory>,
    doorbells: Option<Arc<dyn DoorbellRegistration>>,
    /// By the endpoint's name, for as long as the controller lives.
    disks: Mutex<BTreeMap<String, Weak<MemoryStorage>>>,
}

impl NvmeFactory {
    /// The kind of the endpoints that it makes.
    pub const KIND: &str = "nvme";

    /// A factory of controllers that reach the guest's `memory`.
    pub fn new(memory: Arc<dyn GuestMemory>) -> Self {
        Self {
            memory,
            doorbells: None,
            disks: Mutex::default(),
        }
    }

    /// Whose controllers take doorbells as events of the hypervisor.
    pub fn with_doorbell_events(mut self, doorbells: Arc<dyn DoorbellRegistration>) -> Self {
        self.doorbells = Some(doorbells);
        self
    }

    /// The storage of the controllers that live and store to memory, by their endpoints' names: what a monitor saves beside their state,
    /// and puts back before it restores that.
    pub fn memory_disks(&self) -> BTreeMap<String, Arc<MemoryStorage>> {
        let mut disks = self.disks.lock();
        disks.retain(|_, disk| disk.strong_count() != 0);
        disks
            .iter()
            .filter_map(|(name, disk)| Some((name.clone(), disk.upgrade()?)))
            .collect()
    }

    /// Makes the controller that `spec` asks for.
    ///
    /// # Errors
    ///
    /// - an option is unknown, of the wrong type or out of its bounds, or there is neither `file` nor `size`;
    /// - the file can't be opened, or is locked by another;
    /// - as [`NvmeController::new`].
    pub fn controller(
        &self,
        spec: &EndpointSpec,
        connections: DeviceConnections<'_>,
    ) -> Result<NvmeController, NvmeError> {
        let options: NvmeOptions = spec
            .options
            .0
            .clone()
            .try_into()
            .map_err(|error: toml::de::Error| NvmeError::Options(error.message().to_owned()))?;
        let storage = match options.storage()? {
            Medium::File(file) => Box::new(file) as Box<dyn Storage>,
            Medium::Memory(disk) => {
                let known = Arc::downgrade(&disk);
                self.disks.lock().insert(spec.name.clone(), known);
                Box::new(disk)
            }
        };
        let mut config = options.config(spec);
        config.seat = connections.seat;
        let controller = NvmeController::new(
            &config,
            storage,
            self.memory.clone(),
            connections.msi_target,
            connections.register_mmio,
        )?;
        Ok(match &self.doorbells {
            Some(doorbells) => controller.with_doorbell_events(doorbells.clone()),
            None => controller,
        })
    }
}

impl DeviceFactory for NvmeFactory {
    fn create(
        &mut self,
        spec: &EndpointSpec,
        connections: DeviceConnections<'_>,
    ) -> Result<Box<dyn GenericPciBusDevice>, DeviceError> {
        if spec.kind != Self::KIND {
            return Err(DeviceError::unknown_kind(spec, &[Self::KIND]));
        }
        match self.controller(spec, connections) {
            Ok(controller) => Ok(Box::new(controller)),
            Err(error) => Err(DeviceError::Refused(error.into())),
        }
    }
}

/// An NVMe controller with one namespace, over a file or in memory.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NvmeOptions {
    /// The file that holds the blocks.
    file: Option<PathBuf>,
    /// Without `file`, how much memory holds the blocks. With `file`, how long the file is made where there is none.
    size: Option<Size>,
    /// The guest cannot write: for a `file`.
    #[serde(default)]
    read_only: bool,
    /// I/O queue pairs, 1 to 128; 8 unless said.
    queues: Option<u16>,
    /// Threads that carry out I/O commands, 1 to 16; 4 unless said.
    workers: Option<u16>,
    /// Serial number, 1 to 20 printable ASCII characters; derived from the name unless said.
    serial: Option<String>,
    /// Model, 1 to 40 printable ASCII characters.
    model: Option<String>,
    /// Bytes of a block, 512 or 4096; 512 unless said.
    block_size: Option<u32>,
}

/// What a controller stores to.
enum Medium {
    File(FileStorage),
    Memory(Arc<MemoryStorage>),
}

impl NvmeOptions {
    fn storage(&self) -> Result<Medium, NvmeError> {
        let wrong = |text: &str| Err(NvmeError::Options(text.to_owned()));
        match (&self.file, self.size) {
            (Some(file), None) => Ok(Medium::File(FileStorage::open(file, self.read_only)?)),
            (Some(_), Some(_)) if self.read_only => {
                wrong("`size` is for a file that may be written")
            }
            (Some(file), Some(size)) => {
                Ok(Medium::File(FileStorage::open_or_create(file, size.0)?))
            }
            (None, _) if self.read_only => wrong("`read_only` is for a `file`"),
            (None, Some(size)) => Ok(Medium::Memory(Arc::new(MemoryStorage::new(size.0)))),
            (None, None) => wrong("there is neither `file` nor `size`"),
        }
    }

    fn config(self, spec: &EndpointSpec) -> NvmeConfig {
        let default = NvmeConfig::new(&*spec.name);
        NvmeConfig {
            serial: self.serial.unwrap_or(default.serial),
            model: self.model.unwrap_or(default.model),
            queues: self.queues.unwrap_or(default.queues),
            workers: self.workers.unwrap_or(default.workers),
            block_size: self.block_size.unwrap_or(default.block_size),
            vendor_id: spec.vendor_id,
            device_id: spec.device_id,
            subsystem_vendor_id: spec.subsystem_vendor_id,
            subsystem_id: spec.subsystem_id,
            revision: spec.revision,
            device_serial_number: spec.serial_number.map(|serial| serial.0),
            link: spec.link.map(|link| link.config()),
            name: default.name,
            seat: default.seat,
        }
    }
}
