//! The socket's place in the file system.

use crate::client::get;
use crate::machine::hierarchy;
use crate::machine::socket;
use inspect_service::Address;
use inspect_service::Server;
use inspect_service::live_sockets;
use inspect_service::make_socket_folder;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

fn start(path: &Path) -> Result<Server, String> {
    Server::start(hierarchy(), Address::Socket(path.to_owned())).map_err(|error| error.to_string())
}

#[test]
fn only_the_owner_may_connect() {
    let path = socket();
    let server = start(&path).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    assert_eq!(get(&path, "/inspect?depth=0").status, 200);
    drop(server);
    assert!(!path.exists());
}

#[test]
fn a_dead_servers_socket_is_replaced() {
    let path = socket();
    // Dropping a listener leaves its file, as a server that is killed does.
    drop(UnixListener::bind(&path).unwrap());
    let server = start(&path).unwrap();
    assert_eq!(get(&path, "/inspect?depth=0").status, 200);
    drop(server);
}

#[test]
fn a_live_servers_socket_is_not() {
    let path = socket();
    let first = start(&path).unwrap();
    assert_eq!(
        start(&path).err().unwrap(),
        format!("{}: a server is listening there already", path.display())
    );
    assert_eq!(get(&path, "/inspect?depth=0").status, 200);
    drop(first);
}

#[test]
fn a_file_in_the_way_is_left_alone() {
    let path = socket();
    std::fs::write(&path, "dear diary").unwrap();
    let error = start(&path).err().unwrap();
    assert!(
        error.ends_with("is there already, and is no socket"),
        "{error}"
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "dear diary");
    std::fs::remove_file(&path).unwrap();
    assert!(start(&path.join("nowhere")).is_err());
}

#[test]
fn another_servers_socket_is_not_taken_away() {
    let path = socket();
    let server = start(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let other = UnixListener::bind(&path).unwrap();
    drop(server);
    assert!(path.exists());
    drop(other);
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn the_folder_of_sockets_is_private() {
    let folder = socket().with_extension("folder");
    make_socket_folder(&folder).unwrap();
    make_socket_folder(&folder).unwrap();
    let path = folder.join("one.sock");
    drop(UnixListener::bind(folder.join("dead.sock")).unwrap());
    let server = start(&path).unwrap();
    assert_eq!(live_sockets(&folder), [path]);
    drop(server);
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    let error = make_socket_folder(&folder).unwrap_err().to_string();
    assert!(error.ends_with("closed to others"), "{error}");
    std::fs::remove_dir_all(&folder).unwrap();
}
