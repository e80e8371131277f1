//! TCP sockets of this machine, asked of the kernel: one by its two ends, or all that listen;
//! see sock_diag(7).
//!
//! The tables in `/proc` are made up of all sockets of the machine each time they are read.
//! This costs the same however many connections there are.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto};

/// `NLMSG_ERROR`, `NLMSG_DONE`, `NLM_F_REQUEST` and `NLM_F_DUMP` (`linux/netlink.h`).
const ERROR: u16 = 2;
const DONE: u16 = 3;
const REQUEST: u16 = 1;
const DUMP: u16 = 0x300;
/// `SOCK_DIAG_BY_FAMILY` (`linux/sock_diag.h`).
const BY_FAMILY: u16 = 20;
/// `struct nlmsghdr`.
const HEAD: usize = 16;
/// `struct nlmsghdr` and, behind it, `struct inet_diag_req_v2` (`linux/inet_diag.h`).
const REQUEST_LENGTH: usize = HEAD + 56;
/// `struct nlmsghdr` and `struct inet_diag_msg` are shorter. What follows does not matter.
const ANSWER_MAX: usize = 512;
/// What the kernel puts into one answer of many, at most (`NLMSG_GOODSIZE` and more).
const ANSWERS_MAX: usize = 32 * 1024;
/// `TCP_LISTEN` (`include/net/tcp_states.h`).
pub const LISTEN: u8 = 10;

/// What the kernel says about a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Socket {
    /// Its own end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// A number of `include/net/tcp_states.h`.
    pub state: u8,
    /// What the kernel waits for, to send something by itself.
    pub timer: Timer,
    /// How many times it has done so, or asked, without an answer.
    pub unanswered: u8,
    /// Whose it is.
    pub uid: u32,
    /// 0 when no process holds it any more.
    pub inode: u32,
}

/// What the kernel waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timer {
    /// What was sent to be acknowledged.
    Acknowledgement,
    /// The other end to have room again, which it has not.
    Room,
    /// Anything else, or nothing.
    Other,
}

impl Timer {
    fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Acknowledgement,
            4 => Self::Room,
            _ => Self::Other,
        }
    }
}

/// The socket with these ends or, failing that, the one that listens at `local`.
///
/// # Errors
/// The kernel cannot be asked in this way: it was built without, or a sandbox forbids it.
pub fn find(local: SocketAddr, remote: SocketAddr) -> io::Result<Option<Socket>> {
    let kernel = ask(&request(local, remote))?;
    // The kernel answers while it takes the request, so that there is nothing to wait for.
    let mut buffer = [0; ANSWER_MAX];
    let (count, _) = rustix::net::recv(&kernel, &mut buffer, RecvFlags::DONTWAIT)?;
    read(&buffer[..count])
}

/// All sockets that listen, on IPv4 and on IPv6.
///
/// # Errors
/// As [`find`].
pub fn listening() -> io::Result<Vec<Socket>> {
    let mut found = Vec::new();
    let mut buffer = vec![0; ANSWERS_MAX];
    let anything = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
    for ip in anything.map(|ip: IpAddr| SocketAddr::new(ip, 0)) {
        let kernel = ask(&request_for(ip, ip, REQUEST | DUMP, 1 << LISTEN))?;
        loop {
            let (count, _) = rustix::net::recv(&kernel, &mut buffer, RecvFlags::DONTWAIT)?;
            if read_all(&buffer[..count], &mut found)? {
                break;
            }
        }
    }
    Ok(found)
}

/// Sends a request. What comes back is the kernel's answer.
fn ask(request: &[u8]) -> io::Result<OwnedFd> {
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(netlink::SOCK_DIAG),
    )?;
    // Nobody but the kernel can send to a socket that is connected to it.
    rustix::net::connect(&socket, &SocketAddrNetlink::new(0, 0))?;
    rustix::net::send(&socket, request, SendFlags::empty())?;
    Ok(socket)
}

fn request(local: SocketAddr, remote: SocketAddr) -> Vec<u8> {
    request_for(local, remote, REQUEST, u32::MAX)
}

/// `states` has a bit for each state that is wanted.
fn request_for(local: SocketAddr, remote: SocketAddr, flags: u16, states: u32) -> Vec<u8> {
    let (family, source) = family_and_bytes(local.ip());
    let (_, destination) = family_and_bytes(remote.ip());
    let mut bytes = Vec::with_capacity(REQUEST_LENGTH);
    bytes.extend((REQUEST_LENGTH as u32).to_ne_bytes());
    bytes.extend(BY_FAMILY.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend([0; 8]); // sequence number, port id
    let protocol = ipproto::TCP.as_raw().get() as u8;
    bytes.extend([family.as_raw() as u8, protocol, 0, 0]);
    bytes.extend(states.to_ne_bytes());
    bytes.extend(local.port().to_be_bytes());
    bytes.extend(remote.port().to_be_bytes());
    bytes.extend(source);
    bytes.extend(destination);
    bytes.extend(0u32.to_ne_bytes()); // on whatever interface
    bytes.extend([0xff; 8]); // INET_DIAG_NOCOOKIE
    bytes
}

/// An IPv6 socket with an IPv4 address in it is found as the IPv4 connection that it is.
fn family_and_bytes(ip: IpAddr) -> (AddressFamily, [u8; 16]) {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&ip.octets());
            (AddressFamily::INET, bytes)
        }
        IpAddr::V6(ip) => (AddressFamily::INET6, ip.octets()),
    }
}

fn read(answer: &[u8]) -> io::Result<Option<Socket>> {
    let garbage = || io::Error::from(io::ErrorKind::InvalidData);
    match field(answer, 4).map(u16::from_ne_bytes) {
        Some(BY_FAMILY) => socket(answer).map(Some).ok_or_else(garbage),
        Some(ERROR) => {
            let code = field(answer, 16).map(i32::from_ne_bytes);
            let error = io::Error::from_raw_os_error(code.ok_or_else(garbage)?.wrapping_neg());
            match error.kind() {
                io::ErrorKind::NotFound => Ok(None),
                _ => Err(error),
            }
        }
        _ => Err(garbage()),
    }
}

/// Reads the messages of one answer. `true` when it was the last.
fn read_all(mut answer: &[u8], found: &mut Vec<Socket>) -> io::Result<bool> {
    let garbage = || io::Error::from(io::ErrorKind::InvalidData);
    while !answer.is_empty() {
        let length = field(answer, 0)
            .map(u32::from_ne_bytes)
            .ok_or_else(garbage)? as usize;
        // Each begins at a multiple of four.
        let (message, rest) = match length.next_multiple_of(4) {
            next if next <= answer.len() && length >= HEAD => answer.split_at(next),
            _ => return Err(garbage()),
        };
        if field(message, 4).map(u16::from_ne_bytes) == Some(DONE) {
            return match field(message, HEAD).map(i32::from_ne_bytes) {
                Some(0) => Ok(true),
                Some(code) => Err(io::Error::from_raw_os_error(code.wrapping_neg())),
                None => Err(garbage()),
            };
        }
        found.extend(read(message)?);
        answer = rest;
    }
    Ok(false)
}

fn socket(answer: &[u8]) -> Option<Socket> {
    let [family, state, timer, unanswered] = field(answer, 16)?;
    let address = |port_at, ip_at| {
        let ip = match AddressFamily::from_raw(family.into()) {
            AddressFamily::INET => IpAddr::from(field::<4>(answer, ip_at)?),
            AddressFamily::INET6 => IpAddr::from(field::<16>(answer, ip_at)?),
            _ => return None,
        };
        let port = u16::from_be_bytes(field(answer, port_at)?);
        Some(SocketAddr::new(ip.to_canonical(), port))
    };
    Some(Socket {
        local: address(20, 24)?,
        remote: address(22, 40)?,
        state,
        timer: Timer::from_number(timer),
        unanswered,
        uid: u32::from_ne_bytes(field(answer, 80)?),
        inode: u32::from_ne_bytes(field(answer, 84)?),
    })
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_cut_or_an_error_is_no_socket() {
        let mut answer = vec![0; 88];
        answer[4..6].copy_from_slice(&BY_FAMILY.to_ne_bytes());
        answer[16] = 2;
        assert!(read(&answer).unwrap().is_some());
        for end in 0..answer.len() {
            assert!(read(&answer[..end]).is_err(), "{end}");
        }
        answer[4..6].copy_from_slice(&ERROR.to_ne_bytes());
        answer[16..20].copy_from_slice(&(-2i32).to_ne_bytes());
        assert_eq!(read(&answer).unwrap(), None);
        answer[16..20].copy_from_slice(&(-1i32).to_ne_bytes());
        let error = read(&answer).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }
    #[test]
    fn all_that_listen_are_told_and_nothing_that_is_connected() {
        let local = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let open = std::net::TcpListener::bind("[::]:0").unwrap();
        let client = std::net::TcpStream::connect(local.local_addr().unwrap()).unwrap();
        let all = listening().unwrap();
        let own = rustix::process::geteuid().as_raw();
        for listener in [&local, &open] {
            let address = listener.local_addr().unwrap();
            let found = all.iter().find(|one| one.local == address).unwrap();
            assert_eq!((found.state, found.uid), (LISTEN, own));
        }
        let client = client.local_addr().unwrap();
        assert!(all.iter().all(|one| one.local != client));
    }

    #[test]
    fn an_answer_of_many_ends_where_the_kernel_says_so_and_nowhere_else() {
        let mut one = vec![0; 88];
        one[..4].copy_from_slice(&88_u32.to_ne_bytes());
        one[4..6].copy_from_slice(&BY_FAMILY.to_ne_bytes());
        one[16] = 2;
        let mut done = vec![0; 20];
        done[..4].copy_from_slice(&20_u32.to_ne_bytes());
        done[4..6].copy_from_slice(&DONE.to_ne_bytes());
        let mut found = Vec::new();
        let two = [&one[..], &one].concat();
        assert!(!read_all(&two, &mut found).unwrap());
        assert_eq!(found.len(), 2);
        assert!(read_all(&[&one[..], &done].concat(), &mut found).unwrap());
        assert_eq!(found.len(), 3);
        for end in 1..one.len() {
            assert!(read_all(&one[..end], &mut found).is_err(), "{end}");
        }
        // A length of nothing would go on for ever.
        one[..4].copy_from_slice(&0_u32.to_ne_bytes());
        assert!(read_all(&one, &mut found).is_err());
    }
}
