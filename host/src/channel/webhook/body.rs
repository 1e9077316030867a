//! A call's body, bounded in size and time.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Body;

/// Why there is no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyError {
    /// It is, or says that it will be, larger than the limit.
    TooLarge,
    /// It did not end in time.
    TooSlow,
    /// The connection broke, or the body is not framed as HTTP has it.
    Broken,
}

/// Reads all of a body. One that announces too much is not read at all.
pub(super) async fn read<B>(body: B, limit: usize, deadline: Duration) -> Result<Vec<u8>, BodyError>
where
    B: Body<Data = Bytes> + Unpin,
{
    if body.size_hint().lower() > limit as u64 {
        return Err(BodyError::TooLarge);
    }
    tokio::time::timeout(deadline, collect(body, limit)).await.unwrap_or(Err(BodyError::TooSlow))
}

async fn collect<B>(mut body: B, limit: usize) -> Result<Vec<u8>, BodyError>
where
    B: Body<Data = Bytes> + Unpin,
{
    // What was announced may never come: room is made for what does.
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| BodyError::Broken)?;
        let Some(data) = frame.data_ref() else { continue };
        if data.len() > limit.saturating_sub(read.len()) {
            return Err(BodyError::TooLarge);
        }
        read.extend_from_slice(data);
    }
    Ok(read)
}
