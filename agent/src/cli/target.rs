//! `NAME[/UPSTREAM][=PORT]`: what to serve, and where.

use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;

use wire::DEFAULT_HOUDINI_PORT;
use wire::hello::Wanted;

use super::args::ConnectOptions;

pub(super) const EXAMPLES: &str = "\
Examples:
  hrpyc-agent connect                      the only profile, on 127.0.0.1:18811
  hrpyc-agent connect ws12 --listen 18821  another local port
  hrpyc-agent connect ws12=18811 ws13=18821 ws13/18813=18823
                                           two workstations, and a second Houdini on ws13";

/// One thing to serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// A profile or a guard; `None` is the only profile.
    pub name: Option<String>,
    /// Which Houdini there.
    pub upstream: Option<Wanted>,
    /// Where to listen.
    pub listen: Option<SocketAddr>,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (what, listen) = match text.split_once('=') {
            Some((what, listen)) => (what, Some(listen_address(listen)?)),
            None => (text, None),
        };
        let (name, upstream) = match what.split_once('/') {
            Some((_, "")) => return Err("a name or a port is expected after the slash".into()),
            Some((name, upstream)) => (name, upstream.parse().ok()),
            None => (what, None),
        };
        if name.is_empty() {
            return Err("the name of a profile or a guard is expected".into());
        }
        Ok(Self {
            name: Some(name.into()),
            upstream,
            listen,
        })
    }
}

/// A port, `localhost:PORT`, or an address with a port. Whether it is a loopback address
/// is looked at where it is bound.
pub(super) fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let port = text.strip_prefix("localhost:").unwrap_or(text);
    if let Ok(port) = port.parse() {
        return Ok(local(port));
    }
    text.parse()
        .map_err(|_| format!("{text:?} is neither a port nor ADDRESS:PORT"))
}

/// A target with the place to listen at.
pub(super) type Placed = (Target, SocketAddr);

/// Brings targets and options together.
pub(super) fn place(options: &ConnectOptions) -> Result<Vec<Placed>, String> {
    let single = options.targets.len() <= 1;
    if !single && (options.listen.is_some() || options.upstream.is_some()) {
        return Err(
            "--listen and --upstream are for a single target; with several, write each as \
             NAME/UPSTREAM=PORT"
                .into(),
        );
    }
    if single {
        let mut target = options.targets.first().cloned().unwrap_or(Target {
            name: None,
            upstream: None,
            listen: None,
        });
        if target.listen.is_some() && options.listen.is_some()
            || target.upstream.is_some() && options.upstream.is_some()
        {
            return Err("the same is said twice, in the target and in an option".into());
        }
        target.upstream = target.upstream.or_else(|| options.upstream.clone());
        let default = SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_HOUDINI_PORT));
        let listen = target.listen.or(options.listen).unwrap_or(default);
        return Ok(vec![(target, listen)]);
    }
    let placed = options.targets.iter().map(|target| {
        let name = target.name.as_deref().unwrap_or_default();
        let listen = target.listen.ok_or_else(|| {
            format!("with several targets each needs a port of its own: write {name}=PORT")
        })?;
        Ok((target.clone(), listen))
    });
    placed.collect()
}
