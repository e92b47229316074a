//! What host and guest say to each other: one line of JSON each way, over the guest's second serial port.
//!
//! A byte costs the nested guest about 0.2 ms, so what is long is judged in the guest and only the verdict sent.

use serde::Deserialize;
use serde::Serialize;
use std::io;
use std::io::BufRead;
use std::io::Write;

/// What the host asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Run a shell's command line and wait for its end.
    Run(String),
    /// Start a shell's command line.
    Start(String),
    /// Wait for the end of what was started.
    Finish(u32),
    /// The functions that sysfs shows.
    Functions,
    /// Kernel messages of this level and worse (0 to 7, as syslog(2) has them) that were not told before.
    Messages(u8),
    /// Start the machine anew. The answer to it is [`Reply::Ready`].
    Reboot,
}

/// What the guest answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// The guest is up, with this kernel.
    Ready(String),
    /// A command ended.
    Ended(Ended),
    /// A command was started, and goes by this number.
    Started(u32),
    /// What sysfs shows, by address.
    Functions(Vec<Function>),
    /// Kernel messages.
    Messages(Vec<String>),
    /// It could not be done.
    Refused(String),
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ended {
    /// Its exit code; a signal's number plus 128 if one ended it.
    pub(crate) code: i32,
    /// The end of what it printed, errors among it.
    pub(crate) output: String,
}

/// A function as the guest's sysfs shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Function {
    /// `0000:01:00.0`.
    pub(crate) bdf: String,
    /// Of the bridge above, unless the function is on a root bus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) parent: Option<String>,
    /// Vendor ID.
    pub(crate) vendor: u16,
    /// Device ID.
    pub(crate) device: u16,
    /// Class, subclass and programming interface.
    pub(crate) class: u32,
    /// The driver that is bound to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) driver: Option<String>,
    /// BARs by index, the second half of a 64-bit one left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) bars: Vec<Bar>,
    /// A bridge's secondary and subordinate bus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) buses: Option<(u8, u8)>,
    /// A bridge's open windows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) windows: Vec<Window>,
}

/// A BAR and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bar {
    /// 0 to 5.
    pub(crate) index: u8,
    /// First address.
    pub(crate) start: u64,
    /// Last address.
    pub(crate) last: u64,
}

/// A bridge's window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Window {
    /// Which.
    pub(crate) kind: WindowKind,
    /// First address.
    pub(crate) start: u64,
    /// Last address.
    pub(crate) last: u64,
}

/// The windows of a bridge.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum WindowKind {
    /// I/O base and limit.
    Io,
    /// Memory base and limit.
    Memory,
    /// Prefetchable memory base and limit.
    Prefetchable,
}

/// Sends one message.
///
/// # Errors
///
/// - the channel is closed.
pub(crate) fn send<T: Serialize>(to: &mut impl Write, message: &T) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    to.write_all(&line)?;
    to.flush()
}

/// Waits for one message; none is left when the channel is closed.
///
/// # Errors
///
/// - the channel cannot be read, or what comes is no message.
pub(crate) fn receive<T: for<'a> Deserialize<'a>>(
    from: &mut impl BufRead,
) -> io::Result<Option<T>> {
    let mut line = Vec::new();
    loop {
        line.clear();
        if from.read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        let text = line.trim_ascii();
        if !text.is_empty() {
            return serde_json::from_slice(text).map(Some).map_err(|error| {
                let text = String::from_utf8_lossy(text);
                io::Error::new(io::ErrorKind::InvalidData, format!("'{text}': {error}"))
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_go_one_a_line() {
        let mut bytes = Vec::new();
        let run = Request::Run("echo 'a\nb'".to_string());
        send(&mut bytes, &run).unwrap();
        send(&mut bytes, &Request::Functions).unwrap();
        assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 2);
        let mut from = bytes.as_slice();
        assert_eq!(receive(&mut from).unwrap(), Some(run));
        assert_eq!(receive(&mut from).unwrap(), Some(Request::Functions));
        assert_eq!(receive::<Request>(&mut from).unwrap(), None);
    }

    #[test]
    fn what_is_no_message_is_shown() {
        let error = receive::<Reply>(&mut b"login:\n".as_slice()).unwrap_err();
        assert!(error.to_string().starts_with("'login:': "), "{error}");
    }
}
