//! Serial ports: a console on COM1, and on COM2 a channel between the guest and a program beside the monitor.
//!
//! The register set is `vm-superio`'s. What is written goes out at once; what comes in waits until the guest has room for it.

use event_manager::EventOps;
use event_manager::Events;
use event_manager::MutEventSubscriber;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::io;
use std::io::Read;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use vm_superio::Serial;
use vm_superio::Trigger;
use vm_superio::serial::SerialEvents;
use vm_superio::serial::SerialState;
use vmcore::event::Event;
use vmm_sys_util::epoll::EventSet;

/// Registers of a serial port.
const REGISTER_COUNT: u16 = 8;
/// Bytes taken from the source at a time.
const CHUNK: usize = 64;

/// A serial port of the machine.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Com {
    /// The console: ports 0x3f8 to 0x3ff, interrupt 4. Linux calls it ttyS0.
    Com1,
    /// The channel: ports 0x2f8 to 0x2ff, interrupt 3. Linux calls it ttyS1.
    Com2,
}

impl Com {
    /// Both, in order.
    pub(crate) const ALL: [Self; 2] = [Self::Com1, Self::Com2];

    /// Its first port.
    pub const fn port(self) -> u16 {
        match self {
            Self::Com1 => 0x3f8,
            Self::Com2 => 0x2f8,
        }
    }

    /// The input of the I/O APIC that its interrupt goes to.
    pub const fn interrupt(self) -> u32 {
        match self {
            Self::Com1 => 4,
            Self::Com2 => 3,
        }
    }
}

/// Where a serial port's input comes from. The descriptor becomes readable when there is some.
pub trait Source: Read + AsRawFd + Send {}

impl<T: Read + AsRawFd + Send> Source for T {}

/// Where a serial port's output goes.
pub type Sink = Box<dyn Write + Send>;

/// Raises the port's interrupt.
struct Line(Event);

impl Trigger for Line {
    type E = io::Error;

    fn trigger(&self) -> io::Result<()> {
        self.0.signal();
        Ok(())
    }
}

/// Notices that the guest has taken all input.
struct Room(Event);

impl SerialEvents for Room {
    fn buffer_read(&self) {}
    fn out_byte(&self) {}
    fn tx_lost_byte(&self) {}
    fn in_buffer_empty(&self) {
        self.0.signal();
    }
}

type Uart = Serial<Line, Room, Sink>;

/// A serial port, as the processors see it.
pub(crate) struct SerialPort {
    com: Com,
    interrupt: Event,
    room: Event,
    uart: Mutex<Uart>,
}

impl SerialPort {
    /// A port that raises `interrupt`. Its output is dropped until it is connected.
    pub(crate) fn new(com: Com, interrupt: Event) -> io::Result<Self> {
        let room = Event::try_new()?;
        let uart = uart(
            &SerialState::default(),
            &interrupt,
            &room,
            Box::new(io::sink()),
        )?;
        Ok(Self {
            com,
            interrupt,
            room,
            uart: Mutex::new(uart),
        })
    }

    pub(crate) fn com(&self) -> Com {
        self.com
    }

    pub(crate) fn contains(&self, port: u16) -> bool {
        (self.com.port()..self.com.port() + REGISTER_COUNT).contains(&port)
    }

    fn register(&self, port: u16) -> u8 {
        port.wrapping_sub(self.com.port()).to_le_bytes()[0]
    }

    pub(crate) fn read(&self, port: u16) -> u8 {
        self.uart.lock().read(self.register(port))
    }

    pub(crate) fn write(&self, port: u16, value: u8) {
        // Output that nobody takes is lost, as on a cable that is not plugged in; the guest must not stop for it.
        let _ = self.uart.lock().write(self.register(port), value);
    }

    /// Sends output to `sink` from now on.
    pub(crate) fn connect(&self, sink: Sink) {
        *self.uart.lock().writer_mut() = sink;
    }

    pub(crate) fn state(&self) -> SerialState {
        self.uart.lock().state()
    }

    /// Puts the registers back. Output goes where it went.
    pub(crate) fn set_state(&self, state: &SerialState) -> io::Result<()> {
        let mut uart = self.uart.lock();
        let sink = std::mem::replace(uart.writer_mut(), Box::new(io::sink()));
        *uart = self::uart(state, &self.interrupt, &self.room, sink)?;
        Ok(())
    }

    /// Takes as much of `input` as fits, and says how much that was.
    fn receive(&self, input: &[u8]) -> usize {
        let mut uart = self.uart.lock();
        let room = uart.fifo_capacity().min(input.len());
        let input = input.get(..room).unwrap_or_default();
        uart.enqueue_raw_bytes(input).unwrap_or(0)
    }
}

fn uart(state: &SerialState, interrupt: &Event, room: &Event, sink: Sink) -> io::Result<Uart> {
    let line = Line(interrupt.clone());
    Serial::from_state(state, line, Room(room.clone()), sink).map_err(io::Error::other)
}

/// Takes input from a source to a port. While the guest has no room, the source is not looked at, so that nothing spins.
pub(crate) struct Feeder {
    port: Arc<SerialPort>,
    source: Box<dyn Source>,
    waiting: VecDeque<u8>,
    listening: bool,
    ended: bool,
}

impl Feeder {
    pub(crate) fn new(port: Arc<SerialPort>, source: Box<dyn Source>) -> Self {
        Self {
            port,
            source,
            waiting: VecDeque::new(),
            listening: false,
            ended: false,
        }
    }

    /// Reads what is there.
    fn take_in(&mut self) {
        let mut chunk = [0; CHUNK];
        match self.source.read(&mut chunk) {
            Ok(0) => self.ended = true,
            Ok(len) => self.waiting.extend(chunk.iter().take(len)),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) => {}
            Err(_) => self.ended = true,
        }
    }

    /// Hands over what fits.
    fn hand_over(&mut self) {
        let taken = self.port.receive(self.waiting.make_contiguous());
        self.waiting.drain(..taken);
    }

    /// Listens to the source while nothing waits.
    fn listen(&mut self, ops: &mut EventOps<'_>) {
        let wanted = self.waiting.is_empty() && !self.ended;
        if wanted == self.listening {
            return;
        }
        let events = Events::new_raw(self.source.as_raw_fd(), EventSet::IN);
        if wanted {
            // A regular file cannot be waited for; a port without input is what remains.
            self.ended = ops.add(events).is_err();
            self.listening = !self.ended;
        } else {
            let _ = ops.remove(events);
            self.listening = false;
        }
    }
}

impl MutEventSubscriber for Feeder {
    fn init(&mut self, ops: &mut EventOps<'_>) {
        let _ = ops.add(Events::new(&self.port.room, EventSet::IN));
        self.listen(ops);
    }

    fn process(&mut self, events: Events, ops: &mut EventOps<'_>) {
        if events.fd() == self.port.room.as_raw_fd() {
            let _ = self.port.room.try_wait();
        } else {
            self.take_in();
        }
        self.hand_over();
        self.listen(ops);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use event_manager::EventManager;
    use event_manager::SubscriberOps;
    use std::os::unix::net::UnixStream;

    /// Registers, by their offset.
    const DATA: u16 = 0x3f8;
    const INTERRUPT_ENABLE: u16 = 0x3f9;
    const LINE_STATUS: u16 = 0x3fd;
    const DATA_READY: u8 = 1;

    fn port() -> (Arc<SerialPort>, Event) {
        let interrupt = Event::new();
        let port = SerialPort::new(Com::Com1, interrupt.clone()).unwrap();
        (Arc::new(port), interrupt)
    }

    #[test]
    fn output_goes_out_and_raises_the_transmitter_interrupt() {
        let (port, interrupt) = port();
        let (mut near, far) = UnixStream::pair().unwrap();
        port.connect(Box::new(far));
        port.write(DATA, b'a');
        assert!(!interrupt.try_wait(), "not enabled");
        port.write(INTERRUPT_ENABLE, 2);
        assert!(interrupt.try_wait(), "the transmitter is empty");
        let mut byte = [0];
        near.read_exact(&mut byte).unwrap();
        assert_eq!(byte, *b"a");
    }

    #[test]
    fn input_beyond_the_fifo_waits_until_the_guest_has_room() {
        let (port, interrupt) = port();
        port.write(INTERRUPT_ENABLE, 1);
        let (mut near, far) = UnixStream::pair().unwrap();
        let mut events = EventManager::new().unwrap();
        events.add_subscriber(Feeder::new(port.clone(), Box::new(far)));
        let sent: Vec<u8> = (0..100).collect();
        near.write_all(&sent).unwrap();
        let mut received = Vec::new();
        while received.len() < sent.len() {
            events.run_with_timeout(0).unwrap();
            assert!(interrupt.try_wait(), "after {} bytes", received.len());
            while port.read(LINE_STATUS) & DATA_READY != 0 {
                received.push(port.read(DATA));
            }
        }
        assert_eq!(received, sent);
        drop(near);
        for _ in 0..3 {
            events.run_with_timeout(0).unwrap();
        }
        assert_eq!(
            events.run_with_timeout(0).unwrap(),
            0,
            "an ended source is not looked at again"
        );
    }

    #[test]
    fn registers_are_put_back() {
        let (port, _) = port();
        port.write(0x3ff, 0x5a);
        let state = port.state();
        let (other, _) = self::port();
        other.set_state(&state).unwrap();
        assert_eq!(other.read(0x3ff), 0x5a);
        assert!(other.contains(0x3ff) && !other.contains(0x400));
    }
}
