//! Who listens on a port of this machine, as the operating system tells it.

use std::fmt;
use std::path::Path;

/// A user of the operating system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    id: u32,
    name: Option<String>,
}

impl User {
    /// Whether a configured user name or number means this user.
    pub fn is(&self, wanted: &str) -> bool {
        self.name.as_deref() == Some(wanted) || wanted.parse() == Ok(self.id)
    }

    #[cfg(unix)]
    fn with_id(id: u32) -> Self {
        let name = std::fs::read_to_string("/etc/passwd")
            .ok()
            .and_then(|text| {
                text.lines().find_map(|line| {
                    let mut fields = line.split(':');
                    let name = fields.next()?;
                    (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
                })
            });
        Self { id, name }
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => f.write_str(name),
            None => write!(f, "user {}", self.id),
        }
    }
}

/// The user that this program runs as, where that means something.
pub fn own_user() -> Option<User> {
    #[cfg(unix)]
    return Some(User::with_id(rustix::process::geteuid().as_raw()));
    #[cfg(not(unix))]
    return None;
}

/// The owner of a file.
pub fn file_owner(path: &Path) -> Option<User> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(path)
            .ok()
            .map(|metadata| User::with_id(metadata.uid()))
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        None
    }
}

/// Who listens on a TCP port; `None` when nobody does or it cannot be told.
pub fn listener(port: u16) -> Option<User> {
    #[cfg(target_os = "linux")]
    return linux::listeners(port)
        .first()
        .map(|listener| User::with_id(listener.uid));
    #[cfg(not(target_os = "linux"))]
    {
        let _ = port;
        None
    }
}

/// The addresses other than loopback on which a TCP port is open. Empty where it cannot
/// be told.
pub fn exposed(port: u16) -> Vec<std::net::IpAddr> {
    #[cfg(target_os = "linux")]
    return linux::listeners(port)
        .into_iter()
        .map(|listener| listener.address)
        .filter(|address| !address.to_canonical().is_loopback())
        .collect();
    #[cfg(not(target_os = "linux"))]
    {
        let _ = port;
        Vec::new()
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    pub(super) struct Listener {
        pub(super) address: IpAddr,
        pub(super) uid: u32,
    }

    /// Reads `/proc/net/tcp` and `/proc/net/tcp6`; see proc(5).
    pub(super) fn listeners(port: u16) -> Vec<Listener> {
        ["/proc/net/tcp", "/proc/net/tcp6"]
            .iter()
            .filter_map(|path| std::fs::read_to_string(path).ok())
            .flat_map(|text| {
                text.lines()
                    .skip(1)
                    .filter_map(listening)
                    .collect::<Vec<_>>()
            })
            .filter(|(_, listening_port)| *listening_port == port)
            .map(|(listener, _)| listener)
            .collect()
    }

    fn listening(line: &str) -> Option<(Listener, u16)> {
        const LISTEN: &str = "0A";
        let mut fields = line.split_whitespace().skip(1);
        let (address, port) = fields.next()?.split_once(':')?;
        if fields.nth(1)? != LISTEN {
            return None;
        }
        let uid = fields.nth(3)?.parse().ok()?;
        let port = u16::from_str_radix(port, 16).ok()?;
        Some((
            Listener {
                address: hex_address(address)?,
                uid,
            },
            port,
        ))
    }

    /// Each group of eight digits is a 32-bit word in the machine's own byte order.
    fn hex_address(text: &str) -> Option<IpAddr> {
        let words: Vec<[u8; 4]> = text
            .as_bytes()
            .chunks(8)
            .map(|word| u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok())
            .map(|word| word.map(u32::to_ne_bytes))
            .collect::<Option<_>>()?;
        match *words.as_slice() {
            [word] => Some(IpAddr::V4(Ipv4Addr::from(word))),
            [a, b, c, d] => {
                let mut bytes = [0; 16];
                for (part, word) in bytes.chunks_mut(4).zip([a, b, c, d]) {
                    part.copy_from_slice(&word);
                }
                Some(IpAddr::V6(Ipv6Addr::from(bytes)))
            }
            _ => None,
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_port_open_to_the_network_is_told_from_one_on_loopback() {
        let local = TcpListener::bind("127.0.0.1:0").unwrap();
        let open = TcpListener::bind("0.0.0.0:0").unwrap();
        let (local, open) = (local.local_addr().unwrap(), open.local_addr().unwrap());
        assert!(exposed(local.port()).is_empty());
        assert_eq!(exposed(open.port()), [open.ip()]);
        assert_eq!(listener(local.port()), own_user());
    }
}
