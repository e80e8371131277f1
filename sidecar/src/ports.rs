//! Who listens on a port of this machine, as the operating system tells it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

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

    /// The user of that number.
    #[cfg(unix)]
    pub fn with_id(id: u32) -> Self {
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

/// Which user's port Houdini's must be.
#[derive(Debug, Clone, Default)]
pub struct OwnerRule {
    /// This one's, a name or a number; anybody's when there is none.
    pub user: Option<String>,
    /// Not the guard's own: whoever runs Python as that user can read the guard's keys.
    pub refuse_own: bool,
}

impl OwnerRule {
    /// What is wrong with an owner, to be read after "it belongs to". `None` when nothing is.
    ///
    /// An owner that cannot be told is refused, except that what is on another machine is
    /// not of the guard's own user.
    pub fn objection(&self, owner: Option<&User>, on_this_machine: bool) -> Option<String> {
        let shown = || match owner {
            Some(user) => user.to_string(),
            None => "a user that cannot be told".into(),
        };
        if let Some(wanted) = &self.user
            && owner.is_none_or(|user| !user.is(wanted))
        {
            return Some(format!("{}, not to {wanted}", shown()));
        }
        if !self.refuse_own {
            return None;
        }
        match owner {
            Some(_) if owner == own_user().as_ref() => {
                Some(format!("{}, the guard's own user", shown()))
            }
            None if on_this_machine => Some(format!("{}, perhaps the guard's own", shown())),
            _ => None,
        }
    }
}

/// Who listens on which TCP port of this machine, at one moment. Empty where the operating
/// system does not tell.
#[derive(Debug, Default)]
pub struct Listeners(Vec<Listener>);

#[derive(Debug)]
struct Listener {
    address: SocketAddr,
    uid: u32,
}

impl Listeners {
    /// Asks the operating system. Where the kernel cannot be asked for those that listen
    /// alone, it reads a file that grows with the number of connections: not for the
    /// runtime's own threads.
    pub fn read() -> Self {
        #[cfg(target_os = "linux")]
        return Self(linux::asked().unwrap_or_else(|_| linux::listeners()));
        #[cfg(not(target_os = "linux"))]
        return Self::default();
    }

    /// The user who takes connections to an address: of all that listen on its port at this
    /// very address or at all addresses, if they are one and the same.
    pub fn owner(&self, address: SocketAddr) -> Option<User> {
        let mut owners = self.0.iter().filter(|listener| listener.takes(address));
        let first = owners.next()?.uid;
        owners
            .all(|listener| listener.uid == first)
            .then(|| User::with_id(first))
    }

    /// The addresses other than loopback on which a port is open.
    pub fn exposed(&self, port: u16) -> Vec<IpAddr> {
        self.0
            .iter()
            .filter(|listener| listener.address.port() == port)
            .map(|listener| listener.address.ip().to_canonical())
            .filter(|address| !address.is_loopback())
            .collect()
    }
}

impl Listener {
    fn takes(&self, address: SocketAddr) -> bool {
        let ip = self.address.ip().to_canonical();
        self.address.port() == address.port()
            && (ip == address.ip().to_canonical() || ip.is_unspecified())
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

    use super::Listener;

    /// Asks for those that listen.
    pub(super) fn asked() -> std::io::Result<Vec<Listener>> {
        let all = wire::sock_diag::listening()?;
        let all = all.into_iter().map(|socket| Listener {
            address: socket.local,
            uid: socket.uid,
        });
        Ok(all.collect())
    }

    /// Reads `/proc/net/tcp` and `/proc/net/tcp6`; see proc(5). By their own names, because
    /// the link `/proc/net` is hidden from a service with `ProcSubset=pid`.
    pub(super) fn listeners() -> Vec<Listener> {
        ["/proc/self/net/tcp", "/proc/self/net/tcp6"]
            .iter()
            .filter_map(|path| std::fs::read_to_string(path).ok())
            .flat_map(|text| {
                text.lines()
                    .skip(1)
                    .filter_map(listening)
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    fn listening(line: &str) -> Option<Listener> {
        const LISTEN: &str = "0A";
        let mut fields = line.split_whitespace().skip(1);
        let (address, port) = fields.next()?.split_once(':')?;
        if fields.nth(1)? != LISTEN {
            return None;
        }
        let uid = fields.nth(3)?.parse().ok()?;
        let port = u16::from_str_radix(port, 16).ok()?;
        Some(Listener {
            address: SocketAddr::new(hex_address(address)?, port),
            uid,
        })
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
        let listeners = Listeners::read();
        assert!(listeners.exposed(local.port()).is_empty());
        assert_eq!(listeners.exposed(open.port()), [open.ip()]);
        assert_eq!(listeners.owner(local), own_user());
        let through_loopback = SocketAddr::new("127.0.0.1".parse().unwrap(), open.port());
        assert_eq!(listeners.owner(through_loopback), own_user());
    }

    #[test]
    fn both_ways_to_ask_tell_the_same() {
        let local = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
        let open = TcpListener::bind("[::]:0").unwrap();
        let (closed, open) = (local.unwrap(), open.local_addr().unwrap());
        for listeners in [linux::asked().unwrap(), linux::listeners()] {
            let listeners = Listeners(listeners);
            assert_eq!(listeners.owner(closed), None);
            assert_eq!(listeners.owner(open), own_user());
            assert_eq!(listeners.exposed(open.port()), [open.ip()]);
        }
    }

    #[test]
    fn the_rule_on_owners_refuses_the_guards_own_user_and_whom_it_cannot_tell() {
        let own = own_user().unwrap();
        let other = User::with_id(own.id + 1);
        let rule = |user: Option<&str>, refuse_own| OwnerRule {
            user: user.map(str::to_owned),
            refuse_own,
        };
        let any = rule(None, false);
        assert_eq!(any.objection(Some(&own), true), None);
        assert_eq!(any.objection(None, true), None);
        let not_own = rule(None, true);
        let said = not_own.objection(Some(&own), true).unwrap();
        assert!(said.contains("the guard's own user"), "{said}");
        assert!(not_own.objection(Some(&own), false).is_some());
        assert!(not_own.objection(None, true).is_some());
        assert_eq!(not_own.objection(None, false), None);
        assert_eq!(not_own.objection(Some(&other), true), None);
        // Named or not, the guard's own user is refused.
        let number = own.id.to_string();
        assert_eq!(rule(Some(&number), false).objection(Some(&own), true), None);
        assert!(
            rule(Some(&number), true)
                .objection(Some(&own), true)
                .is_some()
        );
        assert!(
            rule(Some(&number), false)
                .objection(Some(&other), true)
                .is_some()
        );
        assert!(rule(Some(&number), false).objection(None, false).is_some());
    }

    #[test]
    fn the_owner_is_the_one_at_that_address_and_nobody_else() {
        let at = |address: &str, uid| Listener {
            address: address.parse().unwrap(),
            uid,
        };
        let listeners = Listeners(vec![
            at("127.0.0.1:5", 1),
            at("[::1]:5", 2),
            at("0.0.0.0:6", 3),
            at("127.0.0.1:6", 4),
        ]);
        let owner = |address: &str| {
            listeners
                .owner(address.parse().unwrap())
                .map(|user| user.id)
        };
        assert_eq!(owner("127.0.0.1:5"), Some(1));
        assert_eq!(owner("[::1]:5"), Some(2));
        assert_eq!(owner("127.0.0.1:7"), None);
        assert_eq!(
            owner("127.0.0.1:6"),
            None,
            "two users share the port: it cannot be told"
        );
        assert!(!User::with_id(2).is("1"));
    }
}
