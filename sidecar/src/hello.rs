//! Reading the client's hello, and answering with the verdict.

use std::time::Duration;

use tokio::time::timeout;
use wire::Code;
use wire::hello::{Accepted, Hello, Verdict};
use wire::message::{self, ReadError};

use crate::denial::Denial;
use crate::tls::{self, TlsSession};

/// How long a client may take to receive a verdict.
const VERDICT_TIME: Duration = Duration::from_secs(5);
/// The longest client name that is written down, in characters.
const CLIENT_NAME: usize = 120;

const UPDATE: &str = "Connect through hrpyc-agent, of the same version as the guard or newer.";

/// Reads the hello.
///
/// # Errors
/// A denial of the stage `hello`.
pub async fn read(session: &mut TlsSession, limit: Duration) -> Result<Hello, Denial> {
    let mut hello: Hello = match timeout(limit, message::read(session.stream())).await {
        Ok(Ok(hello)) => hello,
        Ok(Err(error)) => return Err(explain(&error)),
        Err(_) => {
            return Err(Denial::new(
                Code::HelloTimeout,
                "The client's hello did not come in time.",
                UPDATE,
            ));
        }
    };
    hello.client = hello
        .client
        .chars()
        .filter(|c| !c.is_control())
        .take(CLIENT_NAME)
        .collect();
    Ok(hello)
}

fn explain(error: &ReadError) -> Denial {
    let (code, sentence) = match error {
        ReadError::Ended(_) | ReadError::Io(_) => (
            Code::HelloMissing,
            "The connection ended before a whole hello had come.".into(),
        ),
        ReadError::TooLarge { .. } => (
            Code::HelloTooLarge,
            format!("The hello is refused: {error}."),
        ),
        ReadError::Version(_) => (
            Code::HelloVersion,
            format!("The hello is refused: {error}."),
        ),
        ReadError::Magic | ReadError::Kind(_) | ReadError::Body => (
            Code::HelloMalformed,
            format!("The hello is refused: {error}."),
        ),
    };
    Denial::new(code, sentence, UPDATE)
}

/// Tells the client that its session runs.
///
/// # Errors
/// Those of the stream, or that the client did not take it in time.
pub async fn accept(session: &mut TlsSession, accepted: Accepted) -> std::io::Result<()> {
    let verdict = Verdict::Accepted(accepted);
    timeout(VERDICT_TIME, message::write(session.stream(), &verdict)).await?
}

/// Tells the client why there is no session, and ends the connection.
pub async fn refuse(session: &mut TlsSession, denial: &Denial) {
    let verdict = Verdict::Refused(denial.refusal());
    if let Ok(Ok(())) = timeout(VERDICT_TIME, message::write(session.stream(), &verdict)).await {
        tls::close(session.stream()).await;
    }
}
