//! The table of TCP sockets that Linux shows as `/proc/net/tcp` and `/proc/net/tcp6`.
//!
//! Source: `Documentation/networking/proc_net_tcp.rst` of the kernel. Addresses are
//! 32-bit words in the byte order of the machine, ports are plain hexadecimal.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// One socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) state: State,
    pub(super) uid: u32,
    pub(super) inode: u64,
}

/// `include/net/tcp_states.h`, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// 01, and 04, 05, 08: one side may have ended its direction.
    Connected,
    /// 0A.
    Listening,
    /// Any other: there is no process behind it, or not yet.
    Other,
}

impl State {
    pub(super) fn from_number(number: u8) -> Self {
        match number {
            0x01 | 0x04 | 0x05 | 0x08 => Self::Connected,
            0x0A => Self::Listening,
            _ => Self::Other,
        }
    }
}

/// All sockets of this network namespace.
#[cfg(target_os = "linux")]
pub(super) fn all() -> std::io::Result<Vec<Row>> {
    let mut rows = parse(&std::fs::read_to_string("/proc/net/tcp")?);
    match std::fs::read_to_string("/proc/net/tcp6") {
        Ok(table) => rows.extend(parse(&table)),
        // Without IPv6 there is no such file.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(rows)
}

/// The rows of one table. A line that is not understood is left out.
pub(super) fn parse(table: &str) -> Vec<Row> {
    table.lines().skip(1).filter_map(row).collect()
}

fn row(line: &str) -> Option<Row> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let [_, local, remote, state, _, _, _, uid, _, inode, ..] = fields[..] else {
        return None;
    };
    Some(Row {
        local: address(local)?,
        remote: address(remote)?,
        state: State::from_number(u8::from_str_radix(state, 16).ok()?),
        uid: uid.parse().ok()?,
        inode: inode.parse().ok()?,
    })
}

fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| -> Option<[u8; 4]> {
        let digits = ip.get(at * 8..at * 8 + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    let ip: IpAddr = match ip.len() {
        8 => word(0)?.into(),
        32 => {
            let mut bytes = [0; 16];
            for (at, piece) in bytes.chunks_exact_mut(4).enumerate() {
                piece.copy_from_slice(&word(at)?);
            }
            // An IPv6 socket with an IPv4 address in it is the IPv4 connection.
            Ipv6Addr::from(bytes).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}
