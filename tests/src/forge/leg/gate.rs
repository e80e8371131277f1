//! Stopping bytes on their way, so that a fault can strike at a moment that is known.

/// What holds a direction back until it is opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Gate {
    /// Nothing.
    #[default]
    Open,
    /// So many bytes more get through; 0 shuts it.
    After(usize),
    /// What a TLS client says in the open gets through, and so many of its encrypted records. In
    /// TLS 1.3 the first of those holds the rest of its handshake: certificate, proof of the
    /// key, and Finished.
    Encrypted(usize),
}

/// Type of a TLS record whose content is encrypted (RFC 8446, section 5.2).
const ENCRYPTED: u8 = 23;
const RECORD_HEADER: usize = 5;

/// Follows the records of TLS in one direction.
#[derive(Debug, Default)]
pub(super) struct Records {
    header: Vec<u8>,
    /// Bytes of the record that are still to come.
    left: usize,
    encrypted: usize,
}

impl Records {
    /// Goes on over bytes, and stops in front of an encrypted record that is one more than
    /// `most`. Gives how many it has passed.
    pub(super) fn pass(&mut self, bytes: &[u8], most: usize) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            if self.left > 0 {
                let step = self.left.min(bytes.len() - at);
                (self.left, at) = (self.left - step, at + step);
                continue;
            }
            if self.header.is_empty() && bytes[at] == ENCRYPTED {
                if self.encrypted >= most {
                    return at;
                }
                self.encrypted += 1;
            }
            self.header.push(bytes[at]);
            at += 1;
            if let [_, _, _, high, low] = self.header[..] {
                self.left = usize::from(u16::from_be_bytes([high, low]));
                self.header.clear();
            }
        }
        debug_assert!(self.header.len() < RECORD_HEADER);
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, length: usize) -> Vec<u8> {
        let [high, low] = (length as u16).to_be_bytes();
        let mut record = vec![kind, 3, 3, high, low];
        record.resize(RECORD_HEADER + length, kind);
        record
    }

    #[test]
    fn encrypted_records_are_counted_however_they_are_cut() {
        let open = [record(22, 300), record(20, 1)].concat();
        let first = [&open[..], &record(23, 900)].concat();
        let all = [&first[..], &record(23, 40), &record(23, 7)].concat();
        for (most, expected) in [(0, open.len()), (1, first.len()), (9, all.len())] {
            for step in [1, 5, 6, 64, all.len()] {
                let mut records = Records::default();
                let mut passed = 0;
                for chunk in all.chunks(step) {
                    let more = records.pass(chunk, most);
                    passed += more;
                    if more < chunk.len() {
                        break;
                    }
                }
                assert_eq!(passed, expected, "{most} in steps of {step}");
                let rest = &all[passed..];
                assert_eq!(records.pass(rest, usize::MAX), rest.len());
            }
        }
    }
}
