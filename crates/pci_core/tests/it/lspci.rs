//! An outside judge: lspci reads the configuration space of an endpoint and of a root port that have every capability.

use pci_core::capabilities::PciCapability;
use pci_core::capabilities::PciExtendedCapability;
use pci_core::capabilities::ReadOnlyCapability;
use pci_core::capabilities::advanced_features::AdvancedFeaturesCapability;
use pci_core::capabilities::extended::acs::AcsExtendedCapability;
use pci_core::capabilities::extended::aer::AerExtendedCapability;
use pci_core::capabilities::extended::aer::ErrorMessage;
use pci_core::capabilities::extended::aer::UncorrectableError;
use pci_core::capabilities::extended::dpc::DpcCause;
use pci_core::capabilities::extended::dpc::DpcExtendedCapability;
use pci_core::capabilities::extended::dvsec::DvsecExtendedCapability;
use pci_core::capabilities::extended::dvsec::DvsecId;
use pci_core::capabilities::extended::fixed::FixedExtendedCapability;
use pci_core::capabilities::extended::link_speed::link_speed_capabilities;
use pci_core::capabilities::extended::resizable_bar::ResizableBar;
use pci_core::capabilities::extended::resizable_bar::ResizableBarExtendedCapability;
use pci_core::capabilities::extended::table::TableExtendedCapability;
use pci_core::capabilities::msi_cap::MsiCapability;
use pci_core::capabilities::msix::MsixEmulator;
use pci_core::capabilities::pci_express::FlrHandler;
use pci_core::capabilities::pci_express::PciExpressCapability;
use pci_core::capabilities::power_management::PowerManagementCapability;
use pci_core::capabilities::table::TableCapability;
use pci_core::cfg_space_emu::BarMemoryKind;
use pci_core::cfg_space_emu::ConfigSpaceType0Emulator;
use pci_core::cfg_space_emu::ConfigSpaceType1Emulator;
use pci_core::cfg_space_emu::DeviceBars;
use pci_core::msi::MsiTarget;
use pci_core::spec::Bdf;
use pci_core::spec::caps::aer::UncorrectableErrorBit;
use pci_core::spec::caps::l1_pm_substates::L1PmSubstatesCapabilities;
use pci_core::spec::caps::pci_express::DevicePortType;
use pci_core::spec::caps::pci_express::LinkSpeed;
use pci_core::spec::caps::pci_express::LinkWidth;
use pci_core::spec::caps::power_management::PowerManagementCapabilities;
use pci_core::spec::caps::ptm::PtmCapability;
use pci_core::spec::caps::slot_numbering::ExpansionSlot;
use pci_core::spec::hwid::ClassCode;
use pci_core::spec::hwid::HardwareIds;
use pci_core::spec::hwid::ProgrammingInterface;
use pci_core::spec::hwid::Subclass;
use reg_table::Page;
use std::fmt::Write as _;
use std::io::ErrorKind;
use std::io::Write as _;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;

#[derive(inspect::Inspect)]
struct NoFlr;

impl FlrHandler for NoFlr {
    fn initiate_flr(&self) {}
}

fn ids(base_class: ClassCode, sub_class: Subclass) -> HardwareIds {
    HardwareIds {
        vendor_id: 0x1234,
        device_id: 0x5678,
        revision_id: 1,
        prog_if: ProgrammingInterface::NONE,
        sub_class,
        base_class,
        type0_sub_vendor_id: 0x1234,
        type0_sub_system_id: 0x0001,
    }
}

/// What both have: an error in the AER log, L1 substates, virtual channel, PTM, and what 64.0 GT/s requires.
fn extended_of_both(typ: DevicePortType) -> Vec<Box<dyn PciExtendedCapability>> {
    let mut aer = match typ {
        DevicePortType::RootPort => AerExtendedCapability::new_root(2),
        _ => AerExtendedCapability::new(),
    };
    aer.record_uncorrectable(
        UncorrectableError::new(UncorrectableErrorBit::UNSUPPORTED_REQUEST),
        Some([0x4000_0001, 0x0000_000f, 0xfe00_0000, 0]),
    );
    aer.receive_error_message(ErrorMessage::Fatal, Bdf::from_bits(0x0100));
    let ptm = match typ {
        DevicePortType::RootPort => PtmCapability::new()
            .with_responder_capable(true)
            .with_root_capable(true)
            .with_local_clock_granularity(4),
        _ => PtmCapability::new().with_requester_capable(true),
    };
    let l1 = L1PmSubstatesCapabilities::from_bits(0xf).with_port_t_power_on_value(5);
    let mut capabilities: Vec<Box<dyn PciExtendedCapability>> = vec![
        Box::new(aer),
        Box::new(AcsExtendedCapability::new()),
        Box::new(FixedExtendedCapability::device_serial_number(
            0x0102_0304_0506_0708,
        )),
        Box::new(TableExtendedCapability::virtual_channel()),
        Box::new(TableExtendedCapability::ptm(ptm)),
        Box::new(TableExtendedCapability::l1_pm_substates(l1, typ)),
    ];
    capabilities.extend(link_speed_capabilities(
        typ,
        LinkSpeed::Speed64_0GtS,
        LinkWidth::X16,
    ));
    capabilities
}

fn endpoint() -> Arc<Page> {
    let target = MsiTarget::disconnected();
    let capabilities: Vec<Box<dyn PciCapability>> = vec![
        Box::new(PowerManagementCapability::new(
            PowerManagementCapabilities::new()
                .with_d1_support(true)
                .with_pme_support(0b01001),
            true,
        )),
        Box::new(PciExpressCapability::new(
            DevicePortType::Endpoint,
            Some(Arc::new(NoFlr)),
        )),
        Box::new(MsiCapability::new(2, true, true, &target)),
        Box::new(MsixEmulator::new(0, 4, &target).1),
        Box::new(AdvancedFeaturesCapability::new(Arc::new(NoFlr))),
        Box::new(ReadOnlyCapability::new("vendor", [0x0008_0009u32, 0x1234])),
    ];
    let mut extended = extended_of_both(DevicePortType::Endpoint);
    let mut ltr = TableExtendedCapability::ltr();
    ltr.write_u32(4, 0x1003_1003);
    extended.push(Box::new(ltr));
    extended.push(Box::new(FixedExtendedCapability::ari(1)));
    let bar = ResizableBar {
        index: 0,
        supported_sizes: 0b1111,
        default_size: 1,
    };
    let resizable = ResizableBarExtendedCapability::new(&[bar]).unwrap();
    extended.push(Box::new(resizable));
    let id = DvsecId {
        vendor_id: 0x1234,
        id: 7,
        revision: 1,
    };
    let block = DvsecExtendedCapability::new("board", id, &[0xaa; 6]).unwrap();
    extended.push(Box::new(block));
    let bars = DeviceBars::new().bar0(0x20_0000, BarMemoryKind::Dummy);
    let ids = ids(ClassCode::UNCLASSIFIED, Subclass::NONE);
    let config = ConfigSpaceType0Emulator::try_new(ids, capabilities, extended, bars).unwrap();
    config.page().clone()
}

fn root_port() -> Arc<Page> {
    let slots = ExpansionSlot::new()
        .with_expansion_slots_provided(4)
        .with_first_in_chassis(true);
    let capabilities: Vec<Box<dyn PciCapability>> = vec![
        Box::new(PowerManagementCapability::new(
            PowerManagementCapabilities::new().with_pme_support(0b11001),
            true,
        )),
        Box::new(PciExpressCapability::new(DevicePortType::RootPort, None).with_hotplug_support(3)),
        Box::new(TableCapability::subsystem_id(0x1234, 0x0002)),
        Box::new(TableCapability::slot_numbering(slots)),
    ];
    let mut extended = extended_of_both(DevicePortType::RootPort);
    let mut dpc = DpcExtendedCapability::new_root_port(1);
    dpc.write_u32(4, 0x0009_0000);
    dpc.trigger(DpcCause::FatalMessage {
        source: Bdf::from_bits(0x0100),
    });
    extended.push(Box::new(dpc));
    let ids = ids(ClassCode::BRIDGE, Subclass::BRIDGE_PCI_TO_PCI);
    let config =
        ConfigSpaceType1Emulator::try_new(ids, capabilities, extended, DeviceBars::new()).unwrap();
    config.page().clone()
}

/// Configuration space as `lspci -xxxx` prints it.
fn dump(address: &str, page: &Page) -> String {
    let mut out = format!("{address} Device\n");
    for row in (0..0x1000u16).step_by(16) {
        write!(out, "{row:02x}:").unwrap();
        for byte in (0..16)
            .step_by(4)
            .flat_map(|o| page.load(row + o).to_le_bytes())
        {
            write!(out, " {byte:02x}").unwrap();
        }
        out.push('\n');
    }
    out + "\n"
}

/// What `lspci -vvv` makes of a dump; none where there is no lspci.
fn lspci(dump: &str) -> Option<String> {
    let child = Command::new("lspci")
        .args(["-F", "/dev/stdin", "-vvv"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // It speaks of the machine that it runs on there; what it cannot read ends it with an error.
        .stderr(Stdio::null())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        Err(error) => panic!("lspci: {error}"),
    };
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(dump.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "lspci: {}", output.status);
    Some(String::from_utf8(output.stdout).unwrap())
}

/// Every `expected` begins the description of one capability, and there are no others.
fn assert_names(function: &str, expected: &[&str]) {
    let mut found: Vec<_> = function
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Capabilities: ["))
        .filter_map(|line| line.split_once("] "))
        .map(|(_, description)| description)
        .collect();
    for name in expected {
        let position = found.iter().position(|found| found.starts_with(name));
        let Some(position) = position else {
            panic!("no '{name}' in {found:#?}\n{function}");
        };
        found.remove(position);
    }
    assert!(found.is_empty(), "nobody expects {found:#?}\n{function}");
}

fn assert_no_complaints(shown: &str) {
    for complaint in [
        "chain broken",
        "chain looped",
        "unreadable",
        "!!!",
        "Capability ID 0x",
    ] {
        assert!(!shown.contains(complaint), "{complaint} in\n{shown}");
    }
}

/// Whether lspci's words are those that were read when this was written: other versions use others.
fn words_are_known() -> bool {
    let output = Command::new("lspci").arg("--version").output().unwrap();
    String::from_utf8_lossy(&output.stdout).contains("version 3.9.0")
}

fn assert_lines(function: &str, expected: &[&str]) {
    for line in expected {
        assert!(function.contains(line), "no '{line}' in\n{function}");
    }
}

const OF_BOTH: &[&str] = &[
    "Power Management version 3",
    "Express (v2)",
    "Advanced Error Reporting",
    "Access Control Services",
    "Device Serial Number 01-02-03-04-05-06-07-08",
    "Virtual Channel",
    "Precision Time Measurement",
    "L1 PM Substates",
    "Secondary PCI Express",
    "Data Link Feature",
    "Physical Layer 16.0 GT/s",
    "Lane Margining at the Receiver",
    "Physical Layer 32.0 GT/s",
    "Physical Layer 64.0 GT/s",
];

#[test]
fn lspci_knows_every_capability() {
    let text = dump("00:01.0", &root_port()) + &dump("01:00.0", &endpoint());
    let Some(shown) = lspci(&text) else {
        println!("skipped: there is no lspci here");
        return;
    };
    // lspci 3.9.0 does not know these two by name.
    let shown = shown
        .replace("Extended Capability ID 0x2a", "Physical Layer 32.0 GT/s")
        .replace("Extended Capability ID 0x31", "Physical Layer 64.0 GT/s");
    assert_no_complaints(&shown);
    let (port, endpoint) = shown.split_once("\n\n").unwrap();
    let names = |own: &[&'static str]| [OF_BOTH, own].concat();
    assert_names(
        port,
        &names(&[
            "Subsystem: Device 1234:0002",
            "Slot ID: 4 slots, First+, chassis 00",
            "Downstream Port Containment",
        ]),
    );
    assert_names(
        endpoint,
        &names(&[
            "MSI: Enable- Count=1/4 Maskable+ 64bit+",
            "MSI-X: Enable- Count=4",
            "PCI Advanced Features",
            "Vendor Specific Information: Len=08",
            "Latency Tolerance Reporting",
            "Alternative Routing-ID Interpretation (ARI)",
            "Physical Resizable BAR",
            "Designated Vendor-Specific: Vendor=1234 ID=0007 Rev=1 Len=16",
        ]),
    );
    if !words_are_known() {
        println!("registers are not compared: this is not lspci 3.9.0");
        return;
    }
    assert_lines(
        port,
        &[
            "Status: D0 NoSoftRst+ PME-Enable- DSel=0 DScale=0 PME-",
            "First Error Pointer: 14",
            "HeaderLog: 40000001 0000000f fe000000 00000000",
            "RootSta: CERcvd- MultCERcvd- UERcvd+ MultUERcvd-",
            "FirstFatal+ NonFatalMsg- FatalMsg+ IntMsg 2",
            "ErrorSrc: ERR_COR: 0000 ERR_FATAL/NONFATAL: 0100",
            "DpcCap:\tINT Msg #1, RPExt+ PoisonedTLP- SwTrigger+ RP PIO Log 5, DL_ActiveErr-",
            "DpcSta:\tTrigger+ Reason:02 INT+ RPBusy- TriggerExt:00",
            "Source:\t0100",
        ],
    );
    assert_lines(
        endpoint,
        &[
            "AFCap: TP+ FLR+",
            "AFCtrl: FLR-",
            "AFStatus: TP-",
            "AFCap: TP+ FLR+",
            "BAR 0: current size: 2MB, supported: 1MB 2MB 4MB 8MB",
            "Max snoop latency: 3145728ns",
            "PTMCap: Requester:+ Responder:- Root:-",
            "L1SubCap: PCI-PM_L1.2+ PCI-PM_L1.1+ ASPM_L1.2+ ASPM_L1.1+ L1_PM_Substates+",
        ],
    );
}
