//! The library: verification finds nothing where nothing is wrong, and can find something.

use rootplex::session::Session;

const DEMO: &str = include_str!("../../examples/demo.toml");

#[test]
fn the_demo_survives_save_and_restore_again_and_again() {
    let mut session = Session::compose(DEMO).unwrap();
    let first = session.verify().unwrap();
    assert_eq!(first.functions, 43);
    assert_eq!(session.verify().unwrap(), first);
}

#[test]
fn functions_are_named_and_the_tree_stays_what_it_was() {
    let mut session = Session::compose(DEMO).unwrap();
    let before = session.tree();
    session.verify().unwrap();
    assert_eq!(session.tree(), before);
    assert_eq!(session.first_hot_plug_port().unwrap().name, "front-slot");
    let error = session.port("nvme0").unwrap_err().to_string();
    assert!(
        error.starts_with("no port is named 'nvme0'; there are "),
        "an endpoint is no port: {error}"
    );
}

#[test]
fn a_path_of_every_port_leads_to_its_inspection() {
    let mut session = Session::compose(DEMO).unwrap();
    for name in [
        "front-slot",
        "switch0-port0",
        "switch1-port1",
        "cxl-switch0-port0",
        "ari-port",
    ] {
        let port = session.port(name).unwrap();
        let node = session.inspect(&port.path).to_string();
        assert!(
            node.contains(&format!("name: {name:?}")),
            "{}: {node}",
            port.path
        );
    }
}
