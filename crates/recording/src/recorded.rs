//! A hierarchy with its recorder.

use crate::Operation;
use crate::OperationError;
use crate::Recorder;
use crate::Summary;
use chipset_device::io::IoError;
use chipset_device::io::IoResult;
use chipset_device::pio::PortIoIntercept;
use pcie_topology::Complex;
use pcie_topology::DeviceFactory;
use pcie_topology::Hierarchy;
use pcie_topology::Window;
use pcie_topology::WindowKind;
use std::io;

/// A hierarchy, and the recorder of what is done to it, if there is one. A monitor keeps both behind one lock: the order of the records is
/// that in which accesses of all processors took effect.
///
/// What is done through [`AsMut`] is not recorded: it is for looking.
pub struct Recorded {
    hierarchy: Hierarchy,
    recorder: Option<Recorder>,
}

impl Recorded {
    /// Without a recorder as yet.
    pub fn new(hierarchy: Hierarchy) -> Self {
        Self {
            hierarchy,
            recorder: None,
        }
    }

    /// Takes down what happens from now on.
    pub fn record(&mut self, recorder: Recorder) {
        self.recorder = Some(recorder);
    }

    /// Ends the recording, if there is one.
    ///
    /// # Errors
    ///
    /// As [`Recorder::finish`].
    pub fn finish(&mut self) -> io::Result<Option<Summary>> {
        self.recorder.take().map(Recorder::finish).transpose()
    }

    /// The guest reads memory in one of the windows. A read that fails has its answer in `data` all the same: what the guest is given.
    #[inline]
    pub fn mmio_read(&mut self, window: &Window, address: u64, data: &mut [u8]) -> IoResult {
        let result = match self.complex(window) {
            Some(complex) => complex.mmio_read(address, data),
            None => IoResult::Err(IoError::NoResponse),
        };
        match result {
            IoResult::Ok => {}
            // Its end is recorded, as that is when the answer is known.
            IoResult::Defer(_) => return result,
            IoResult::Err(_) => answer_refused(window, data),
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.read(address, data);
        }
        result
    }

    /// The guest writes memory in one of the windows.
    #[inline]
    pub fn mmio_write(&mut self, window: &Window, address: u64, data: &[u8]) -> IoResult {
        let result = match self.complex(window) {
            Some(complex) => complex.mmio_write(address, data),
            None => IoResult::Err(IoError::NoResponse),
        };
        if let Some(recorder) = &mut self.recorder {
            recorder.write(address, data);
        }
        result
    }

    /// The guest reads from a port in one of the windows. As [`Self::mmio_read`].
    pub fn io_read(&mut self, window: &Window, port: u16, data: &mut [u8]) -> IoResult {
        let result = match self.complex(window) {
            Some(complex) => complex.root.io_read(port, data),
            None => IoResult::Err(IoError::NoResponse),
        };
        match result {
            IoResult::Ok => {}
            IoResult::Defer(_) => return result,
            IoResult::Err(_) => answer_refused(window, data),
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.port_read(port, data);
        }
        result
    }

    /// The guest writes to a port in one of the windows.
    pub fn io_write(&mut self, window: &Window, port: u16, data: &[u8]) -> IoResult {
        let result = match self.complex(window) {
            Some(complex) => complex.root.io_write(port, data),
            None => IoResult::Err(IoError::NoResponse),
        };
        if let Some(recorder) = &mut self.recorder {
            recorder.port_write(port, data);
        }
        result
    }

    /// A read that was deferred ended: `answered` says whether `data` is the device's answer.
    pub fn deferred_read_ended(
        &mut self,
        window: &Window,
        address: u64,
        data: &mut [u8],
        answered: bool,
    ) {
        if !answered {
            answer_refused(window, data);
        }
        match (&mut self.recorder, u16::try_from(address)) {
            (None, _) => {}
            (Some(recorder), Ok(port)) if window.kind == WindowKind::Io => {
                recorder.port_read(port, data);
            }
            (Some(recorder), _) => recorder.read(address, data),
        }
    }

    /// Does what an operator or the monitor does, and takes it down if it was done.
    ///
    /// # Errors
    ///
    /// As [`Operation::perform`].
    pub fn perform(
        &mut self,
        operation: &Operation,
        devices: &mut dyn DeviceFactory,
    ) -> Result<(), OperationError> {
        operation.perform(&mut self.hierarchy, devices)?;
        if let Some(recorder) = &mut self.recorder {
            recorder.operation(operation);
        }
        Ok(())
    }

    #[inline]
    fn complex(&mut self, window: &Window) -> Option<&mut Complex> {
        self.hierarchy.complexes.get_mut(window.complex)
    }
}

impl AsMut<Hierarchy> for Recorded {
    fn as_mut(&mut self) -> &mut Hierarchy {
        &mut self.hierarchy
    }
}

/// What a guest reads that reads what it may not: of a register an access that the specification forbids, such as one of three bytes, is
/// none at all; memory where nobody answers reads all-ones (PCIe 6.2 section 2.3.2).
#[cold]
fn answer_refused(window: &Window, data: &mut [u8]) {
    data.fill(match window.kind {
        WindowKind::Ecam => 0,
        WindowKind::HostBridge | WindowKind::Memory | WindowKind::Io => u8::MAX,
    });
}
