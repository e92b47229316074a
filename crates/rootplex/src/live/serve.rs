//! A hierarchy without a guest.

use crate::output::Failure;
use crate::output::read_text;
use clap::Args;
use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser;
use inspect_service::Address;
use inspect_service::ServeError;
use inspect_service::Server;
use inspect_service::Source;
use inspect_service::make_socket_folder;
use inspect_service::socket_folder;
use parking_lot::Mutex;
use pcie_topology::Hierarchy;
use rootplex::cases::CASES;
use rootplex::cases::Case;
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
    /// Serve a prepared machine in which a card was plugged and did not appear: find out why.
    #[arg(long, value_name = "NAME", conflicts_with = "topology", value_parser = PossibleValuesParser::new(CASES.iter().map(|case| case.name))
        .try_map(|name| Case::named(&name).ok_or("there is no such case")))]
    case: Option<&'static Case>,
    #[command(flatten)]
    doors: Doors,
}

/// Where a hierarchy is served.
#[derive(Args)]
pub(crate) struct Doors {
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

impl Doors {
    /// A socket, and a page on a port of 127.0.0.1; 0 for any that is free.
    pub(crate) fn web(port: u16) -> Self {
        Self {
            socket: None,
            tcp: None,
            web: Some(port),
        }
    }

    /// Whether any was asked for.
    pub(crate) fn is_any(&self) -> bool {
        self.socket.is_some() || self.tcp.is_some() || self.web.is_some()
    }

    /// Opens them, and says where: the servers end when they are dropped.
    pub(crate) fn open(
        &self,
        hierarchy: &Arc<impl Source>,
        name: &str,
    ) -> Result<(Vec<Server>, String), Failure> {
        let socket = match &self.socket {
            Some(socket) => socket.clone(),
            None => {
                let folder = socket_folder();
                make_socket_folder(&folder).map_err(Failure::other)?;
                folder.join(format!("{}.sock", std::process::id()))
            }
        };
        let failed = |error: ServeError| Failure::other(error);
        let on_socket = Server::start(hierarchy.clone(), Address::Socket(socket.clone()));
        let mut servers = vec![on_socket.map_err(failed)?];
        let mut lines = format!("serving {name} at {}\n", socket.display());
        for (port, what) in [(self.tcp, "serving"), (self.web, "showing")] {
            let Some(port) = port else { continue };
            let server = Server::start(hierarchy.clone(), Address::Tcp(port)).map_err(failed)?;
            if let Some(address) = server.tcp() {
                lines.push_str(&format!("{what} {name} at http://{address}\n"));
            }
            servers.push(server);
        }
        Ok((servers, lines))
    }
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    if let Some(case) = options.case {
        let hierarchy = case.prepare().map_err(Failure::other)?;
        return serve(hierarchy, case.name, &options.doors);
    }
    let (text, source) = match &options.topology {
        Some(file) => (read_text(file)?, file.display().to_string()),
        None => (crate::DEMO.to_string(), "demo".to_string()),
    };
    let session = Session::compose(&text).map_err(|error| Failure::mistakes(&source, &error))?;
    serve(session.into_hierarchy(), &source, &options.doors)
}

/// Serves until a signal says that it is enough.
pub(crate) fn serve(hierarchy: Hierarchy, source: &str, doors: &Doors) -> Result<(), Failure> {
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

    let hierarchy = Arc::new(Mutex::new(hierarchy));
    let (servers, lines) = doors.open(&hierarchy, source)?;
    super::write(&lines)?;
    runtime.block_on(async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    });
    drop(servers);
    Ok(())
}
