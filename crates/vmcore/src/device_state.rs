//! Starting, stopping and resetting a device.

/// A device whose work the monitor can start and stop.
///
/// The monitor calls [`start`](Self::start) and [`stop`](Self::stop) in turn, and [`reset`](Self::reset) only while the
/// device is stopped; it awaits each future to its end before the next call. Implementors write `async fn stop` and
/// `async fn reset`.
pub trait ChangeDeviceState {
    /// The device may work from now on. This only notifies: the device must not wait for anything.
    fn start(&mut self);

    /// Stops the device. Once the future has resolved the device does no work, and touches neither guest memory nor
    /// interrupts.
    fn stop(&mut self) -> impl Send + Future<Output = ()>;

    /// Puts the device into the state it has when the machine boots for the first time.
    fn reset(&mut self) -> impl Send + Future<Output = ()>;
}
