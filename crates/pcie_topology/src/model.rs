//! The description of a hierarchy: plain data, as it is in the file.

mod capabilities;
mod cxl_window;
mod endpoint;
mod legacy;
mod port;
mod port_bar;
mod quantity;
mod root_complex;
mod slot;

pub use capabilities::CapabilitiesSpec;
pub use cxl_window::CxlWindowSpec;
pub(crate) use cxl_window::WINDOW_ALIGN;
pub use endpoint::BarKind;
pub use endpoint::BarSpec;
pub use endpoint::CxlDeviceSpec;
pub use endpoint::EndpointSpec;
pub use endpoint::MediaType;
pub use endpoint::MsiSpec;
pub use endpoint::MsixSpec;
pub use legacy::IoWindowSpec;
pub use legacy::PinSpec;
pub use port::CxlPortSpec;
pub use port::PortSpec;
pub use port::SwitchSpec;
pub use port_bar::PortBarSpec;
pub use quantity::AddressRange;
pub use quantity::BusNumbers;
pub use quantity::ParseSerialNumberError;
pub use quantity::ParseSizeError;
pub use quantity::SerialNumber;
pub use quantity::Size;
pub use root_complex::EventCollectorSpec;
pub use root_complex::RootComplexSpec;
pub use root_complex::Topology;
pub use slot::LinkSpec;
pub use slot::LinkSpeedSpec;
pub use slot::SlotSpec;

/// For `skip_serializing_if`: a value that is its default need not be in the file.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// For fields that are on unless said.
const fn yes() -> bool {
    true
}
