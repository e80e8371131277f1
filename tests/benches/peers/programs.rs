//! The programs that are compared, each with the settings that its own documents advise.

mod direct;
mod envoy;
mod guard;
mod haproxy;
mod nginx;
mod ssh;
mod stunnel;

use std::any::Any;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use e2e::programs::{Failure, Result, Running, Stream, poll};

use crate::houdini::Houdini;
use crate::material::Material;
use crate::session::Entry;

/// Everything that takes part, in the order of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, clap::ValueEnum)]
pub(crate) enum Program {
    /// Nothing in between, and no TLS.
    Direct,
    /// hrpyc-guard with a role whose bytes go by unseen, and one that is inspected.
    Guard,
    /// stunnel 5.
    Stunnel,
    /// HAProxy.
    Haproxy,
    /// nginx with its stream module.
    Nginx,
    /// Envoy.
    Envoy,
    /// OpenSSH with a forwarded port.
    Ssh,
    /// rpyc's own TLS, in Python: only where real rpyc is measured.
    Rpyc,
}

impl Program {
    /// All of them.
    pub(crate) const ALL: [Self; 8] = [
        Self::Direct,
        Self::Guard,
        Self::Stunnel,
        Self::Haproxy,
        Self::Nginx,
        Self::Envoy,
        Self::Ssh,
        Self::Rpyc,
    ];
}

/// How many programs a message passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Hops {
    /// The server's end: the load generator speaks TLS itself.
    One,
    /// A client's end too: the load generator speaks bare TCP to it.
    Two,
}

impl Hops {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::One, Self::Two];

    /// As it is called in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::One => "one hop",
            Self::Two => "two hops",
        }
    }
}

/// A program that runs, with all that belongs to it.
pub(crate) struct Contender {
    /// As it is called in tables.
    pub(crate) name: &'static str,
    /// What it says of its version.
    pub(crate) version: String,
    one: Option<Entry>,
    two: Option<Entry>,
    /// The processes at the server's end.
    far: Vec<Running>,
    /// The processes at the client's end.
    near: Vec<Running>,
    /// What must live as long.
    _keeps: Vec<Box<dyn Any>>,
}

/// Where Houdini is, and what there is to start a program with.
pub(crate) struct Place<'a> {
    /// Where the program forwards to.
    pub(crate) houdini: SocketAddr,
    /// A folder of its own.
    pub(crate) folder: &'a Path,
    /// Keys and certificates.
    pub(crate) material: &'a Material,
    /// Sessions that must be possible at once.
    pub(crate) sessions: usize,
}

impl Contender {
    /// How it is entered, if it can be so.
    pub(crate) fn entry(&self, hops: Hops) -> Option<&Entry> {
        match hops {
            Hops::One => self.one.as_ref(),
            Hops::Two => self.two.as_ref(),
        }
    }

    /// The processes that a message passes.
    pub(crate) fn processes(&self, hops: Hops) -> Vec<u32> {
        let near = match hops {
            Hops::One => &[][..],
            Hops::Two => &self.near[..],
        };
        self.far.iter().chain(near).map(Running::pid).collect()
    }
}

/// Starts a program, each of its forms in front of this server, or in front of a Houdini of
/// its own.
///
/// # Errors
/// When it cannot be had, or does not start.
pub(crate) fn start(
    program: Program,
    server: Option<SocketAddr>,
    folder: &Path,
    material: &Material,
    sessions: usize,
) -> Result<Vec<Contender>> {
    let mut started = Vec::new();
    let mut with = |name: &str, start: &dyn Fn(&Place<'_>) -> Result<Contender>| {
        let houdini = Houdini::start()?;
        let folder = tempfile::Builder::new().prefix(name).tempdir_in(folder);
        let folder = folder.map_err(|e| Failure::io("making a temporary folder", &e))?;
        let folder = folder.keep();
        let place = Place {
            houdini: server.unwrap_or(houdini.address),
            folder: &folder,
            material,
            sessions,
        };
        let mut contender = start(&place)?;
        contender._keeps.push(Box::new(houdini));
        started.push(contender);
        Ok::<_, Failure>(())
    };
    match program {
        Program::Direct => with("direct", &direct::start)?,
        Program::Guard => {
            with("opaque", &|place| guard::start(place, guard::Form::Opaque))?;
            with("inspecting", &|place| {
                guard::start(place, guard::Form::Inspecting)
            })?;
        }
        Program::Stunnel => with("stunnel", &stunnel::start)?,
        Program::Haproxy => with("haproxy", &haproxy::start)?,
        Program::Nginx => with("nginx", &nginx::start)?,
        Program::Envoy => with("envoy", &envoy::start)?,
        Program::Ssh => with("ssh", &ssh::start)?,
        Program::Rpyc => {}
    }
    Ok(started)
}

/// As many threads or processes as a program is given.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get())
}

/// Writes a file of settings.
fn settings(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(|e| Failure::io(path.display(), &e))
}

/// Waits until something listens there, or the program has ended.
fn wait_for(process: &mut Running, address: SocketAddr) -> Result<()> {
    let what = format!("`{}` listening on {address}", process.title());
    let found = poll(&what, || {
        if TcpStream::connect(address).is_ok() {
            return Some(true);
        }
        (!process.is_running()).then_some(false)
    });
    match found {
        Ok(true) => Ok(()),
        other => Err(Failure::new(format!(
            "{what}: {}\n{}{}",
            other.map_or_else(|e| e.to_string(), |_| "it has ended".into()),
            process.text(Stream::Out),
            process.text(Stream::Err)
        ))),
    }
}
