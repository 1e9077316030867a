//! What goes out over a connection: frames, in order, each with a deadline.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use crate::runtime::bindings::channel::TransportError;
use crate::runtime::egress_secrets::Joined;

/// A frame, its secrets joined.
#[derive(Debug)]
pub(super) enum Content {
    Text(Joined),
    Binary(Vec<u8>),
}

/// A frame that waits to be written, and who wants to know.
#[derive(Debug)]
pub(super) struct Out {
    pub(super) content: Content,
    pub(super) written: Option<oneshot::Sender<Result<(), TransportError>>>,
}

/// Tells when a frame was written.
#[derive(Debug)]
pub(in crate::channel) struct FrameTicket(pub(super) oneshot::Receiver<Result<(), TransportError>>);

impl FrameTicket {
    /// Waits until the frame was written to its connection.
    ///
    /// # Errors
    /// The connection ended before it was, or while.
    pub(in crate::channel) async fn written(self) -> Result<(), TransportError> {
        let ended = || TransportError::NotSent("the connection ended before the frame was its turn".to_owned());
        self.0.await.unwrap_or_else(|_| Err(ended()))
    }
}

/// Where frames are written to.
pub(super) trait Outlet: Send {
    /// Writes one frame, all of it.
    fn put(&mut self, content: Content) -> impl Future<Output = Result<(), String>> + Send;

    /// Asks the peer for a sign of life. By default there is nothing to ask with.
    fn ping(&mut self) -> impl Future<Output = Result<(), String>> + Send {
        std::future::ready(Ok(()))
    }
}

/// Why nothing more is written.
#[derive(Debug)]
pub(super) enum Wrote {
    /// All that waited was, and nothing more can come.
    All,
    /// The peer does not take it.
    Failed(String),
}

/// Writes what comes, until nothing more can come, with a ping every so often.
pub(super) async fn write(
    outlet: &mut impl Outlet,
    outgoing: &mut mpsc::Receiver<Out>,
    ping: Option<Duration>,
    deadline: Duration,
) -> Wrote {
    let mut next_ping = ping.map(|every| Instant::now() + every);
    loop {
        let pinging = async {
            match next_ping {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let late = || format!("the platform took nothing for {deadline:?}");
        tokio::select! {
            out = outgoing.recv() => {
                let Some(Out { content, written }) = out else { return Wrote::All };
                let put = timeout(deadline, outlet.put(content)).await.unwrap_or_else(|_| Err(late()));
                if let Some(written) = written {
                    // Nobody may want to know any more.
                    let _ = written.send(put.clone().map_err(TransportError::Unanswered));
                }
                if let Err(reason) = put {
                    return Wrote::Failed(reason);
                }
            }
            () = pinging => {
                next_ping = ping.map(|every| Instant::now() + every);
                if let Err(reason) = timeout(deadline, outlet.ping()).await.unwrap_or_else(|_| Err(late())) {
                    return Wrote::Failed(reason);
                }
            }
        }
    }
}
