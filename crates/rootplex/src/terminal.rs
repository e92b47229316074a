//! The terminal as a guest's console: every key goes to the guest at once, and the terminal is as before when the program ends.

use std::io;
use std::io::Read;
use std::io::Stdin;
use std::os::fd::AsRawFd;
use std::os::fd::RawFd;
use vmm_sys_util::terminal::Terminal;

/// What begins a command to the monitor: Ctrl-A. Twice, it goes to the guest once.
const ESCAPE: u8 = 0x01;
/// After it, what stops the machine, and what saves it first.
const STOP: u8 = b'x';
const SAVE: u8 = b's';

/// What is typed for the monitor.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Stop the machine.
    Stop,
    /// Save the machine and stop it.
    Save,
}

/// The terminal in raw mode, for as long as this lives.
pub(crate) struct RawMode(());

impl RawMode {
    /// Standard input need not be a terminal; then nothing changes.
    pub(crate) fn enter() -> io::Result<Self> {
        io::stdin().lock().set_raw_mode().map_err(io::Error::from)?;
        Ok(Self(()))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // There is nobody to tell who would see it.
        let _ = io::stdin().lock().set_canon_mode();
    }
}

/// What is typed, without what is meant for the monitor.
pub(crate) struct Keyboard {
    stdin: Stdin,
    commands: Commands,
    obey: fn(Order),
}

impl Keyboard {
    /// Calls `obey` with what is typed for the monitor.
    pub(crate) fn new(obey: fn(Order)) -> Self {
        Self {
            stdin: io::stdin(),
            commands: Commands::default(),
            obey,
        }
    }
}

impl AsRawFd for Keyboard {
    fn as_raw_fd(&self) -> RawFd {
        self.stdin.as_raw_fd()
    }
}

impl Read for Keyboard {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut typed = vec![0; buffer.len()];
        // Past the standard library's buffer: what lay there would not make the descriptor readable.
        let len = self.stdin.lock().read_raw(&mut typed)?;
        if len == 0 {
            return Ok(0);
        }
        typed.truncate(len);
        let (keys, order) = self.commands.filter(&typed);
        if let Some(order) = order {
            (self.obey)(order);
        }
        if keys.is_empty() {
            // Not the end of the input: there is nothing for the guest in it.
            return Err(io::ErrorKind::WouldBlock.into());
        }
        for (to, from) in buffer.iter_mut().zip(&keys) {
            *to = *from;
        }
        Ok(keys.len())
    }
}

/// Tells keys from commands.
#[derive(Default)]
struct Commands {
    escaped: bool,
}

impl Commands {
    /// What of the bytes is for the guest, and what was ordered.
    fn filter(&mut self, typed: &[u8]) -> (Vec<u8>, Option<Order>) {
        let mut order = None;
        let mut keys = Vec::with_capacity(typed.len());
        for byte in typed {
            match (std::mem::take(&mut self.escaped), *byte) {
                (false, ESCAPE) => self.escaped = true,
                (true, STOP) => order = Some(Order::Stop),
                (true, SAVE) => order = Some(Order::Save),
                (true, ESCAPE) | (false, _) => keys.push(*byte),
                (true, _) => {}
            }
        }
        (keys, order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_taken_out() {
        let mut commands = Commands::default();
        assert_eq!(commands.filter(b"ls\r"), (b"ls\r".to_vec(), None));
        assert_eq!(commands.filter(b"a\x01"), (b"a".to_vec(), None));
        assert_eq!(commands.filter(b"xx"), (b"x".to_vec(), Some(Order::Stop)));
        assert_eq!(commands.filter(b"\x01s"), (vec![], Some(Order::Save)));
        assert_eq!(commands.filter(b"\x01\x01"), (vec![1], None));
        assert_eq!(commands.filter(b"\x01qy"), (b"y".to_vec(), None));
    }
}
