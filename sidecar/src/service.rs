//! Telling the service manager how the guard is; see `sd_notify(3)`.
//!
//! Where there is no service manager that listens (`NOTIFY_SOCKET` is not set), nothing is
//! said, and nothing else changes.

use std::time::Duration;

/// What the service manager acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// Connections are taken; after a reload, with the new configuration.
    Ready,
    /// The configuration is being read anew.
    Reloading,
    /// The end has begun.
    Stopping {
        /// It takes no longer than this: the manager must wait as long before it kills.
        within: Duration,
    },
    /// Nothing to act on.
    Going,
}

/// Tells the news, with a line for people. Best effort: a manager that cannot be told is
/// no reason to stop, and one that does not listen is waited for only briefly.
pub async fn tell(news: News, status: String) {
    #[cfg(unix)]
    unix::tell(news, status).await;
    #[cfg(not(unix))]
    let _ = (news, status);
}

#[cfg(unix)]
mod unix {
    use std::io;
    use std::sync::Once;
    use std::time::Duration;

    use sd_notify::NotifyState;
    use tokio::time::timeout;

    use super::News;

    const PATIENCE: Duration = Duration::from_secs(1);

    pub(super) async fn tell(news: News, status: String) {
        // A datagram waits when the manager's queue is full.
        let sending = tokio::task::spawn_blocking(move || send(news, &status));
        let error = match timeout(PATIENCE, sending).await {
            Ok(Ok(Ok(()))) => return,
            Ok(Ok(Err(error))) => error,
            Ok(Err(error)) => error.into(),
            Err(_) => io::ErrorKind::TimedOut.into(),
        };
        static WARNED: Once = Once::new();
        WARNED.call_once(|| {
            tracing::warn!(%error, "the service manager cannot be told how the guard is (NOTIFY_SOCKET)");
        });
    }

    fn send(news: News, status: &str) -> io::Result<()> {
        let status = NotifyState::Status(status);
        match news {
            News::Ready => sd_notify::notify(&[NotifyState::Ready, status]),
            News::Reloading => sd_notify::notify(&[
                NotifyState::Reloading,
                NotifyState::monotonic_usec_now()?,
                status,
            ]),
            News::Stopping { within } => {
                // `NotifyState::ExtendTimeoutUsec` holds 71 minutes at the most.
                let extend = format!("EXTEND_TIMEOUT_USEC={}", within.as_micros());
                sd_notify::notify(&[NotifyState::Stopping, NotifyState::Custom(&extend), status])
            }
            News::Going => sd_notify::notify(&[status]),
        }
    }
}
