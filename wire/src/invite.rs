//! The one-time code that brings a new device in.
//!
//! The code is text, made to survive a chat window or a mail: `hrpyc1-` and base64url of
//!
//! | bytes | content |
//! |---|---|
//! | 1 | version, 1 |
//! | 1 + n | address to enrol at, `HOST:PORT` |
//! | 1 + n | SPIFFE ID of the guard at that address |
//! | 32 | SHA-256 of the authority's certificate |
//! | 16 | the secret |
//! | 4 | the first bytes of the SHA-256 of all of the above |

use std::str::FromStr;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::identity::{Identity, Kind};
use crate::leaf::Fingerprint;
use crate::secret::Secret;

const PREFIX: &str = "hrpyc1-";
const VERSION: u8 = 1;
const CHECKSUM: usize = 4;
/// The longest code that is looked at.
const MAX_CODE: usize = 1024;

/// Why a text is not an invite code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InviteError {
    /// It does not begin as a code does.
    #[error("this is not an invite code: a code begins with {PREFIX}")]
    NotACode,
    /// It begins well and does not hold together.
    #[error("this invite code is damaged: part of it was lost or changed when it was copied")]
    Damaged,
    /// It was made by a newer version.
    #[error("this invite code is of version {0}, which this program does not know")]
    Version(u8),
}

/// What an invite code says.
#[derive(Debug, Clone)]
pub struct Invite {
    /// `HOST:PORT` of the guard that takes the enrolment.
    pub address: String,
    /// The identity that this guard's certificate must carry.
    pub guard: Identity,
    /// The fingerprint of the authority's certificate.
    pub authority: Fingerprint,
    /// The proof that the bearer was invited; 128 bits.
    pub secret: Secret<[u8; 16]>,
}

impl Invite {
    /// The code to hand over. It is a secret until it has been used.
    pub fn to_code(&self) -> Secret<String> {
        let mut bytes = vec![VERSION];
        for text in [self.address.as_str(), &self.guard.to_string()] {
            let text = &text.as_bytes()[..text.len().min(255)];
            bytes.push(text.len() as u8);
            bytes.extend_from_slice(text);
        }
        bytes.extend_from_slice(&self.authority.0);
        bytes.extend_from_slice(self.secret.expose());
        let sum = digest::digest(&digest::SHA256, &bytes);
        bytes.extend_from_slice(&sum.as_ref()[..CHECKSUM]);
        Secret::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
    }
}

impl FromStr for Invite {
    type Err = InviteError;

    /// White space anywhere is ignored: mail programs break long lines.
    fn from_str(text: &str) -> Result<Self, InviteError> {
        let text: String = text
            .chars()
            .filter(|c| !c.is_whitespace())
            .take(MAX_CODE)
            .collect();
        let body = text.strip_prefix(PREFIX).ok_or(InviteError::NotACode)?;
        let bytes = URL_SAFE_NO_PAD
            .decode(body)
            .map_err(|_| InviteError::Damaged)?;
        let (bytes, sum) = bytes
            .split_at_checked(bytes.len().saturating_sub(CHECKSUM))
            .ok_or(InviteError::Damaged)?;
        if digest::digest(&digest::SHA256, bytes).as_ref()[..CHECKSUM] != *sum {
            return Err(InviteError::Damaged);
        }
        let mut reader = Reader(bytes);
        match reader.take(1)? {
            [VERSION] => {}
            other => return Err(InviteError::Version(other[0])),
        }
        let address = reader.text()?;
        let guard: Identity = reader.text()?.parse().map_err(|_| InviteError::Damaged)?;
        let authority = Fingerprint(reader.array()?);
        let secret = Secret::new(reader.array()?);
        if !reader.0.is_empty() || guard.kind != Kind::Guard {
            return Err(InviteError::Damaged);
        }
        Ok(Self {
            address,
            guard,
            authority,
            secret,
        })
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], InviteError> {
        let (head, rest) = self.0.split_at_checked(count).ok_or(InviteError::Damaged)?;
        self.0 = rest;
        Ok(head)
    }

    fn text(&mut self) -> Result<String, InviteError> {
        let length = usize::from(self.take(1)?[0]);
        String::from_utf8(self.take(length)?.to_vec()).map_err(|_| InviteError::Damaged)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], InviteError> {
        self.take(N)?.try_into().map_err(|_| InviteError::Damaged)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn invite() -> Invite {
        Invite {
            address: "ws12.studio.example:18812".into(),
            guard: "spiffe://studio.example/guard/ws12".parse().unwrap(),
            authority: Fingerprint([7; 32]),
            secret: Secret::new([9; 16]),
        }
    }

    #[test]
    fn a_code_survives_line_breaks() {
        let code = invite().to_code();
        let (a, b) = code.expose().split_at(40);
        let read: Invite = format!("  {a}\r\n {b}\n").parse().unwrap();
        assert_eq!(read.address, "ws12.studio.example:18812");
        assert_eq!(read.secret.expose(), &[9; 16]);
        assert_eq!(read.authority, Fingerprint([7; 32]));
    }

    #[test]
    fn a_cut_or_changed_code_is_refused() {
        let code = invite().to_code().expose().clone();
        assert_eq!(
            "hello".parse::<Invite>().unwrap_err(),
            InviteError::NotACode
        );
        for end in PREFIX.len()..code.len() {
            assert_eq!(
                code[..end].parse::<Invite>().unwrap_err(),
                InviteError::Damaged
            );
        }
        for at in PREFIX.len()..code.len() - 1 {
            let mut changed = code.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert!(
                String::from_utf8(changed)
                    .unwrap()
                    .parse::<Invite>()
                    .is_err()
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in ".{0,300}") {
            let _ = text.parse::<Invite>();
            let _ = format!("{PREFIX}{text}").parse::<Invite>();
        }
    }
}
