//! `rootplex replay`: a recording done again.

use crate::output;
use crate::output::Failure;
use nvme::NvmeFactory;
use pci_bus::GenericPciBusDevice;
use pcie_topology::DeviceConnections;
use pcie_topology::DeviceError;
use pcie_topology::DeviceFactory;
use pcie_topology::EndpointSpec;
use recording::Recording;
use std::path::Path;
use std::sync::Arc;
use vmcore::guest_memory::GuestMemory;
use vmcore::guest_memory::NotMemory;

/// Replays a recording, and says what differs.
pub(crate) fn run(file: &Path) -> Result<(), Failure> {
    let bytes = std::fs::read(file).map_err(|error| Failure::io(file, error))?;
    let source = file.display().to_string();
    let recording = Recording::parse(&bytes).map_err(|error| Failure::mistakes(&source, &error))?;
    let report = recording::replay_with(&recording, &mut Disks::new())
        .map_err(|error| Failure::mistakes(&source, &error))?;
    if !report.is_faithful() {
        return Err(Failure::other(report));
    }
    let unfinished = if recording.is_finished {
        ""
    } else {
        "; the recording was not finished"
    };
    output::show(format!("{report}{unfinished}\n").as_bytes())?;
    Ok(())
}

/// Controllers like those that were recorded, but over nothing: a replay must neither need nor change what was on their disks.
struct Disks(NvmeFactory);

impl Disks {
    fn new() -> Self {
        Self(NvmeFactory::new(Arc::new(NoMemory)))
    }
}

impl DeviceFactory for Disks {
    fn create(
        &mut self,
        spec: &EndpointSpec,
        connections: DeviceConnections<'_>,
    ) -> Result<Box<dyn GenericPciBusDevice>, DeviceError> {
        let mut spec = spec.clone();
        if spec.kind == NvmeFactory::KIND {
            let options = &mut spec.options.0;
            options.remove("file");
            options.remove("read_only");
            options.insert("size".into(), "1M".into());
        }
        self.0.create(&spec, connections)
    }
}

/// There is no guest.
struct NoMemory;

impl GuestMemory for NoMemory {
    fn read(&self, gpa: u64, data: &mut [u8]) -> Result<(), NotMemory> {
        Err(NotMemory {
            gpa,
            len: data.len(),
        })
    }

    fn write(&self, gpa: u64, data: &[u8]) -> Result<(), NotMemory> {
        Err(NotMemory {
            gpa,
            len: data.len(),
        })
    }
}
