//! Doorbells: writes of the guest that the kernel turns into a device's event, without an exit to the monitor (KVM's ioeventfd).

use kvm_ioctls::IoEventAddress;
use kvm_ioctls::NoDatamatch;
use kvm_ioctls::VmFd;
use std::io;
use std::sync::Arc;
use vmcore::doorbell::DoorbellRegistration;
use vmcore::event::Event;

/// Makes doorbells of a virtual machine.
pub(crate) struct Doorbells(pub(crate) Arc<VmFd>);

impl DoorbellRegistration for Doorbells {
    /// Without a value, KVM takes a write of any length for the doorbell's.
    fn register(
        &self,
        address: u64,
        value: Option<u64>,
        length: u32,
        event: &Event,
    ) -> io::Result<Box<dyn Send + Sync>> {
        let doorbell = Doorbell {
            vm: self.0.clone(),
            event: event.clone(),
            address,
            matching: Matching::new(value, length)?,
        };
        doorbell.change(true)?;
        Ok(Box::new(doorbell))
    }
}

/// Which writes are a doorbell's. Their length is that of the value.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Matching {
    Any,
    Byte(u8),
    Word(u16),
    Dword(u32),
    Qword(u64),
}

impl Matching {
    fn new(value: Option<u64>, length: u32) -> io::Result<Self> {
        let Some(value) = value else {
            return Ok(Self::Any);
        };
        let fits = |_| io::Error::other(format!("{value:#x} does not fit into {length} bytes"));
        Ok(match length {
            1 => Self::Byte(value.try_into().map_err(fits)?),
            2 => Self::Word(value.try_into().map_err(fits)?),
            4 => Self::Dword(value.try_into().map_err(fits)?),
            8 => Self::Qword(value),
            _ => {
                return Err(io::Error::other(format!(
                    "a value of {length} bytes; there are 1, 2, 4 and 8"
                )));
            }
        })
    }
}

/// A doorbell; ends when it is dropped.
struct Doorbell {
    vm: Arc<VmFd>,
    event: Event,
    address: u64,
    matching: Matching,
}

impl Doorbell {
    fn change(&self, on: bool) -> io::Result<()> {
        match self.matching {
            Matching::Any => self.change_matching(on, NoDatamatch),
            Matching::Byte(value) => self.change_matching(on, value),
            Matching::Word(value) => self.change_matching(on, value),
            Matching::Dword(value) => self.change_matching(on, value),
            Matching::Qword(value) => self.change_matching(on, value),
        }
    }

    fn change_matching<T: Into<u64>>(&self, on: bool, value: T) -> io::Result<()> {
        let address = IoEventAddress::Mmio(self.address);
        let event = self.event.as_event_fd();
        let changed = if on {
            self.vm.register_ioevent(event, &address, value)
        } else {
            self.vm.unregister_ioevent(event, &address, value)
        };
        changed.map_err(io::Error::from)
    }
}

impl Drop for Doorbell {
    fn drop(&mut self) {
        if let Err(error) = self.change(false) {
            tracelimit::warn_ratelimited!(address = self.address, %error, "doorbell not taken back");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_a_value_is_that_of_the_write() {
        let matching = |value, length| Matching::new(value, length).map_err(|e| e.to_string());
        assert_eq!(matching(None, 4), Ok(Matching::Any));
        assert_eq!(matching(Some(7), 2), Ok(Matching::Word(7)));
        assert_eq!(matching(Some(7), 8), Ok(Matching::Qword(7)));
        assert_eq!(
            matching(Some(0x100), 1),
            Err("0x100 does not fit into 1 bytes".into())
        );
        assert_eq!(
            matching(Some(1), 3),
            Err("a value of 3 bytes; there are 1, 2, 4 and 8".into())
        );
    }
}
