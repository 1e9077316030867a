//! Accepts connections, up to a limit.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug, debug_span, warn};

use super::Shared;
use super::http::{self, Visit};
use super::socket::linger;

/// Pauses after a failed accept. Without one, a process out of file descriptors would spin.
const PAUSE: std::ops::RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(1);

/// Connections beyond the limit that are told so at once; further ones are dropped.
const REFUSALS: usize = 64;

/// How long a connection that is refused may take to read so.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

const REFUSAL: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\n\
    content-length: 73\r\nretry-after: 1\r\nconnection: close\r\n\r\n\
    the gateway has all the connections that `[gateway] max_connections` sets";

/// Accepts until `stop`. Every task that it starts is in `tasks` and ends soon after `stop`.
pub(super) async fn accept(listener: TcpListener, shared: &Arc<Shared>, tasks: &TaskTracker, stop: &CancellationToken) {
    let refusals = Arc::new(Semaphore::new(REFUSALS));
    let mut pause = *PAUSE.start();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if concerns_one(&error) => {
                debug!(%error, "a connection ended before it was accepted");
                continue;
            }
            Err(error) => {
                warn!(%error, "cannot accept connections; trying again in {pause:?}");
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = sleep(pause) => {}
                }
                pause = (pause * 2).min(*PAUSE.end());
                continue;
            }
        };
        pause = *PAUSE.start();
        if let Ok(permit) = Arc::clone(&shared.room).try_acquire_owned() {
            let visit = visit(shared, &stream, peer, tasks, stop, permit);
            match visit {
                Ok(visit) => {
                    let span = debug_span!("connection", %peer);
                    tasks.spawn(http::serve(visit, stream).instrument(span));
                }
                Err(error) => debug!(%error, "a connection ended before it was served"),
            }
        } else if let Ok(permit) = Arc::clone(&refusals).try_acquire_owned() {
            tasks.spawn(refuse(stream, permit));
        }
    }
}

fn visit(
    shared: &Arc<Shared>,
    stream: &TcpStream,
    peer: std::net::SocketAddr,
    tasks: &TaskTracker,
    stop: &CancellationToken,
    permit: OwnedSemaphorePermit,
) -> io::Result<Visit> {
    // A token of an answer is one small packet, which must not wait for the last one's receipt.
    stream.set_nodelay(true)?;
    let local = stream.local_addr()?;
    Ok(Visit { shared: Arc::clone(shared), tasks: tasks.clone(), stop: stop.clone(), peer, local, permit })
}

/// Whether only the connection that was to be accepted is lost.
fn concerns_one(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

async fn refuse(mut stream: TcpStream, _permit: OwnedSemaphorePermit) {
    let refusal = async {
        if stream.write_all(REFUSAL.as_bytes()).await.is_ok() {
            linger(&mut stream).await;
        }
    };
    let _ = timeout(REFUSAL_TIMEOUT, refusal).await;
}

#[cfg(test)]
mod tests {
    use super::REFUSAL;

    #[test]
    fn the_refusal_is_as_long_as_it_says() {
        let (head, body) = REFUSAL.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())));
    }
}
