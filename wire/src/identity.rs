//! Names of people, services and guards, as SPIFFE IDs.
//!
//! An identity is `spiffe://<trust-domain>/<kind>/<name>`; see the SPIFFE ID
//! specification, section 2. We accept a subset of it: lower-case names of one path
//! segment, so that a name is safe in file names, logs and shell commands.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest trust domain. SPIFFE allows 255 bytes; a whole identity must fit into an
/// invite code, which has room for 255.
const MAX_DOMAIN: usize = 128;
/// The longest name; a name becomes a file name and a column in tables.
const MAX_NAME: usize = 64;

/// Why a text is not an identity, a name or a trust domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// A trust domain has other characters or another length than allowed.
    #[error(
        "{0:?} is not a trust domain: use lower-case letters, digits, dots, dashes and underscores"
    )]
    TrustDomain(String),
    /// A name has other characters or another length than allowed.
    #[error(
        "{0:?} is not a name: use up to 64 lower-case letters, digits, dots, dashes and underscores, starting with a letter or digit"
    )]
    Name(String),
    /// The part before the slash is not a kind of identity.
    #[error("{0:?} is not a kind of identity: use artist, service or guard")]
    Kind(String),
    /// A URI is not `spiffe://<trust-domain>/<kind>/<name>`.
    #[error("{0:?} is not of the form spiffe://<trust-domain>/<artist|service|guard>/<name>")]
    Uri(String),
}

macro_rules! checked_text {
    ($type:ident, $error:ident, $check:ident) => {
        impl $type {
            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                if $check(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(NameError::$error(text.chars().take(80).collect()))
                }
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> String {
                value.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

/// The name of one authority's realm, such as `studio.example`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TrustDomain(String);
checked_text!(TrustDomain, TrustDomain, is_domain);

/// The last part of an identity, such as `alice` or `ws12`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);
checked_text!(Name, Name, is_name);

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_')
}

fn is_domain(text: &str) -> bool {
    (1..=MAX_DOMAIN).contains(&text.len()) && text.bytes().all(is_plain)
}

fn is_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len())
        && text.bytes().all(is_plain)
        && text.as_bytes()[0].is_ascii_alphanumeric()
}

/// What an identity stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A person at a keyboard.
    Artist,
    /// A program: an assistant, a farm script.
    Service,
    /// The guard of one workstation.
    Guard,
}

impl Kind {
    /// The path segment of this kind.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Artist => "artist",
            Self::Service => "service",
            Self::Guard => "guard",
        }
    }
}

impl FromStr for Kind {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text {
            "artist" => Ok(Self::Artist),
            "service" => Ok(Self::Service),
            "guard" => Ok(Self::Guard),
            other => Err(NameError::Kind(other.chars().take(80).collect())),
        }
    }
}

/// `spiffe://<trust-domain>/<kind>/<name>`: whom a certificate names.
///
/// Holding one proves nothing; it is a name that was well formed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Identity {
    /// The authority's realm.
    pub domain: TrustDomain,
    /// What the name stands for.
    pub kind: Kind,
    /// The name within its kind.
    pub name: Name,
}

impl Identity {
    /// An identity from its parts.
    pub fn new(domain: TrustDomain, kind: Kind, name: Name) -> Self {
        Self { domain, kind, name }
    }

    /// Reads what people type: `alice` is an artist, `service/farm` and `guard/ws12` say
    /// their kind, and a whole SPIFFE ID must be of `domain`.
    ///
    /// # Errors
    /// [`NameError`] when the text is none of these or names another trust domain.
    pub fn from_shorthand(text: &str, domain: &TrustDomain) -> Result<Self, NameError> {
        if text.contains("://") {
            let identity: Self = text.parse()?;
            return if identity.domain == *domain {
                Ok(identity)
            } else {
                Err(NameError::TrustDomain(identity.domain.into()))
            };
        }
        let (kind, name) = match text.split_once('/') {
            Some((kind, name)) => (kind.parse()?, name),
            None => (Kind::Artist, text),
        };
        Ok(Self::new(domain.clone(), kind, name.parse()?))
    }

    /// The short form that people type and read: `alice`, `service/farm`, `guard/ws12`.
    pub fn shorthand(&self) -> String {
        match self.kind {
            Kind::Artist => self.name.to_string(),
            kind => format!("{}/{}", kind.as_str(), self.name),
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "spiffe://{}/{}/{}",
            self.domain,
            self.kind.as_str(),
            self.name
        )
    }
}

impl FromStr for Identity {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let malformed = || NameError::Uri(text.chars().take(160).collect());
        let rest = text.strip_prefix("spiffe://").ok_or_else(malformed)?;
        let mut parts = rest.split('/');
        let (Some(domain), Some(kind), Some(name), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(malformed());
        };
        Ok(Self::new(domain.parse()?, kind.parse()?, name.parse()?))
    }
}

impl TryFrom<String> for Identity {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Identity> for String {
    fn from(identity: Identity) -> String {
        identity.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain() -> TrustDomain {
        "studio.example".parse().unwrap()
    }

    #[test]
    fn a_spiffe_id_reads_back_as_it_was_written() {
        for text in [
            "spiffe://studio.example/artist/alice",
            "spiffe://studio.example/service/farm-01",
            "spiffe://studio.example/guard/ws12.lan",
        ] {
            assert_eq!(text.parse::<Identity>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_people_type_becomes_an_identity() {
        let read = |text| Identity::from_shorthand(text, &domain()).map(|i| i.to_string());
        assert_eq!(
            read("alice").unwrap(),
            "spiffe://studio.example/artist/alice"
        );
        assert_eq!(
            read("guard/ws12").unwrap(),
            "spiffe://studio.example/guard/ws12"
        );
        assert_eq!(
            read("spiffe://studio.example/service/farm").unwrap(),
            "spiffe://studio.example/service/farm"
        );
        assert!(read("spiffe://elsewhere.example/artist/alice").is_err());
        for bad in [
            "",
            "Alice",
            "a b",
            "../etc",
            "root/alice",
            "artist/",
            "/alice",
            "a/b/c",
            "-x",
            "ü",
        ] {
            assert!(read(bad).is_err(), "{bad:?} must be refused");
        }
    }

    #[test]
    fn anything_but_one_plain_path_is_not_an_identity() {
        for bad in [
            "spiffe://studio.example/artist",
            "spiffe://studio.example/artist/alice/extra",
            "spiffe://studio.example/artist/alice?x=1",
            "spiffe://studio.example:80/artist/alice",
            "spiffe://user@studio.example/artist/alice",
            "spiffe://studio.example//alice",
            "SPIFFE://studio.example/artist/alice",
            "https://studio.example/artist/alice",
            "spiffe:///artist/alice",
        ] {
            assert!(bad.parse::<Identity>().is_err(), "{bad:?} must be refused");
        }
    }
}
