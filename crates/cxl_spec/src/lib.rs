//! CXL DVSECs and component registers as the CXL specification lays them out.
