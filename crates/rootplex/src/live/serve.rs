//! A hierarchy without a guest.

use crate::output::Failure;
use crate::output::read_text;
use clap::Args;
use inspect_service::Address;
use inspect_service::ServeError;
use inspect_service::Server;
use inspect_service::make_socket_folder;
use inspect_service::socket_folder;
use parking_lot::Mutex;
use rootplex::session::Session;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;

#[derive(Args)]
pub(crate) struct Options {
    /// The description of the hierarchy; the one that the program brings along without it.
    #[arg(long, value_name = "FILE")]
    topology: Option<PathBuf>,
    /// Where the socket is made; without the option, in $XDG_RUNTIME_DIR/rootplex.
    #[arg(long, env = "ROOTPLEX_SOCKET", value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Serve on a port of 127.0.0.1 as well, where every user of this machine can reach it; 0 for any that is free.
    #[arg(long, value_name = "PORT")]
    tcp: Option<u16>,
    /// Show a page for a browser on a port of 127.0.0.1, where every user of this machine can reach it; any that is free without PORT.
    #[arg(long, value_name = "PORT", num_args = 0..=1, default_missing_value = "0")]
    web: Option<u16>,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let (text, source) = match &options.topology {
        Some(file) => (read_text(file)?, file.display().to_string()),
        None => (crate::DEMO.to_string(), "demo".to_string()),
    };
    let session = Session::compose(&text).map_err(|error| Failure::mistakes(&source, &error))?;
    let socket = match &options.socket {
        Some(socket) => socket.clone(),
        None => {
            let folder = socket_folder();
            make_socket_folder(&folder).map_err(Failure::other)?;
            folder.join(format!("{}.sock", std::process::id()))
        }
    };
    // Before anyone can know that there is a server to be stopped.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::other)?;
    let (mut interrupt, mut terminate) = {
        let _guard = runtime.enter();
        let signals = signal(SignalKind::interrupt())
            .and_then(|interrupt| Ok((interrupt, signal(SignalKind::terminate())?)));
        signals.map_err(Failure::other)?
    };

    let hierarchy = Arc::new(Mutex::new(session.into_hierarchy()));
    let failed = |error: ServeError| Failure::other(error);
    let on_socket = Server::start(hierarchy.clone(), Address::Socket(socket.clone()));
    let on_socket = on_socket.map_err(failed)?;
    let mut lines = format!("serving {source} at {}\n", socket.display());
    let mut on_tcp = Vec::new();
    for (port, what) in [(options.tcp, "serving"), (options.web, "showing")] {
        let Some(port) = port else { continue };
        let server = Server::start(hierarchy.clone(), Address::Tcp(port)).map_err(failed)?;
        if let Some(address) = server.tcp() {
            lines.push_str(&format!("{what} {source} at http://{address}\n"));
        }
        on_tcp.push(server);
    }
    super::write(&lines)?;
    runtime.block_on(async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    });
    drop((on_socket, on_tcp));
    Ok(())
}
