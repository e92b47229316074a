//! The kernel's messages, from `/dev/kmsg` (Linux, Documentation/ABI/testing/dev-kmsg).

use anyhow::Result;
use std::fs::File;
use std::io;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;

/// Longer than any record.
const RECORD_BYTES_MAX: usize = 8192;

/// Where the messages come from, and how many were told.
pub(super) struct KernelLog {
    device: Option<File>,
    untold: Vec<Message>,
}

#[derive(Debug, PartialEq, Eq)]
struct Message {
    level: u8,
    text: String,
}

impl KernelLog {
    /// Begins with the oldest message that the kernel still has.
    pub(super) fn open() -> Result<Self> {
        let device = File::options()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/kmsg")?;
        Ok(Self {
            device: Some(device),
            untold: Vec::new(),
        })
    }

    /// Messages at this level or worse that were not told before. Others wait until a call wants them.
    pub(super) fn messages(&mut self, level: u8) -> Result<Vec<String>> {
        self.take_in()?;
        let (told, untold) = std::mem::take(&mut self.untold)
            .into_iter()
            .partition(|message: &Message| message.level <= level);
        self.untold = untold;
        Ok(told
            .into_iter()
            .map(|message: Message| message.text)
            .collect())
    }

    fn take_in(&mut self) -> Result<()> {
        let Some(device) = &mut self.device else {
            return Ok(());
        };
        let mut record = [0; RECORD_BYTES_MAX];
        loop {
            match device.read(&mut record) {
                Ok(length) => {
                    let record = record.get(..length).unwrap_or_default();
                    self.untold
                        .extend(message(&String::from_utf8_lossy(record)));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // The kernel overwrote what was to be read next; the following call continues after it.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    #[cfg(test)]
    pub(super) fn from_records(records: &[&str]) -> Self {
        Self {
            device: None,
            untold: records
                .iter()
                .filter_map(|record| message(record))
                .collect(),
        }
    }
}

/// `6,339,5140900,-;text`, and then lines with properties. The level is the lowest three bits of the first number.
fn message(record: &str) -> Option<Message> {
    let (prefix, text) = record.split_once(';')?;
    let priority: u32 = prefix.split(',').next()?.parse().ok()?;
    Some(Message {
        level: (priority & 7).to_le_bytes()[0],
        text: text.lines().next().unwrap_or_default().to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_is_told_once() {
        let mut log = KernelLog::from_records(&[
            "6,1,5,-;pci 0000:00:00.0: found\n SUBSYSTEM=pci\n",
            "4,2,6,-;pci 0000:00:00.0: odd\n",
            "27,3,7,-;nvme: bad\n",
        ]);
        assert_eq!(
            log.messages(4).unwrap(),
            ["pci 0000:00:00.0: odd", "nvme: bad"]
        );
        assert_eq!(log.messages(7).unwrap(), ["pci 0000:00:00.0: found"]);
        assert!(log.messages(7).unwrap().is_empty());
    }
}
