//! Length-prefixed, versioned, capped messages.
//!
//! Each message is an 8 byte head and a body in JSON:
//!
//! | bytes | content |
//! |---|---|
//! | 3 | `HRG` |
//! | 1 | version and kind: the upper four bits are the version, 1 |
//! | 4 | length of the body, big-endian |
//!
//! A reader takes not one byte more than the message, because an rpyc stream may follow
//! right behind it.

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const MAGIC: &[u8; 3] = b"HRG";
const VERSION: u8 = 1;
const HEAD: usize = 8;

/// A message with its kind and its bound.
pub trait Message: Serialize + DeserializeOwned {
    /// The kind in the head, 0 to 15.
    const KIND: u8;
    /// The longest body, in bytes.
    const CAP: usize;
}

/// Why no message could be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The stream ended before the first byte, or within the message.
    #[error("the connection ended after {0} bytes of a message")]
    Ended(usize),
    /// The bytes are not the head of a message of ours.
    #[error("this is not a message of hrpyc-guard")]
    Magic,
    /// A version that this program does not know.
    #[error("the message is of version {0}, and this program knows version 1")]
    Version(u8),
    /// Another kind of message than expected.
    #[error("a message of another kind ({0}) came")]
    Kind(u8),
    /// The body is longer than allowed.
    #[error("the message is {length} bytes long, and {cap} are allowed")]
    TooLarge {
        /// The announced length.
        length: usize,
        /// The bound.
        cap: usize,
    },
    /// The body is not what this kind of message holds. The cause is not shown: it would
    /// quote the body, which holds secrets.
    #[error("the content of the message cannot be read")]
    Body,
    /// The stream failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The bytes of a message.
///
/// # Errors
/// An error of kind `InvalidData` when the body is over the message's bound.
pub fn encode<M: Message>(message: &M) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(1024);
    bytes.extend_from_slice(MAGIC);
    bytes.push(VERSION << 4 | M::KIND);
    bytes.extend_from_slice(&[0; 4]);
    serde_json::to_writer(&mut bytes, message)?;
    let length = bytes.len() - HEAD;
    if length > M::CAP {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the message is over its bound",
        ));
    }
    bytes[4..HEAD].copy_from_slice(&(length as u32).to_be_bytes());
    Ok(bytes)
}

/// Writes a message and flushes.
///
/// # Errors
/// As [`encode`], and those of the stream.
pub async fn write<M: Message>(
    stream: &mut (impl AsyncWrite + Unpin),
    message: &M,
) -> io::Result<()> {
    stream.write_all(&encode(message)?).await?;
    stream.flush().await
}

/// Reads one message and not a byte more. The caller sets the deadline.
///
/// # Errors
/// [`ReadError`]; after any of them the stream is of no further use.
pub async fn read<M: Message>(stream: &mut (impl AsyncRead + Unpin)) -> Result<M, ReadError> {
    let mut head = [0; HEAD];
    fill(stream, &mut head, 0).await?;
    let length = body_length::<M>(head)?;
    let mut body = vec![0; length];
    fill(stream, &mut body, HEAD).await?;
    serde_json::from_slice(&body).map_err(|_| ReadError::Body)
}

fn body_length<M: Message>(head: [u8; HEAD]) -> Result<usize, ReadError> {
    let [m0, m1, m2, version_and_kind, l0, l1, l2, l3] = head;
    if [m0, m1, m2] != *MAGIC {
        return Err(ReadError::Magic);
    }
    if version_and_kind >> 4 != VERSION {
        return Err(ReadError::Version(version_and_kind >> 4));
    }
    if version_and_kind & 0x0f != M::KIND {
        return Err(ReadError::Kind(version_and_kind & 0x0f));
    }
    let length = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
    if length > M::CAP {
        return Err(ReadError::TooLarge {
            length,
            cap: M::CAP,
        });
    }
    Ok(length)
}

async fn fill(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut [u8],
    before: usize,
) -> Result<(), ReadError> {
    let mut filled = 0;
    while filled < buffer.len() {
        match stream.read(&mut buffer[filled..]).await {
            Ok(0) => return Err(ReadError::Ended(before + filled)),
            Ok(count) => filled += count,
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(ReadError::Ended(before + filled));
            }
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}
