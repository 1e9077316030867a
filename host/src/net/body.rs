//! Reading a body that may be too large, too slow, or both.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Body;

/// What could be read of a body.
#[derive(Debug, Default)]
pub struct Bounded {
    /// The beginning, or all of it.
    pub bytes: Vec<u8>,
    /// Whether that is all.
    pub whole: bool,
}

/// Reads at most `limit` bytes within `deadline`. A body that ends badly or too late gives what
/// came of it: its readers explain an error that has already happened.
pub async fn read_bounded<B>(mut body: B, limit: usize, deadline: Duration) -> Bounded
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut read = Bounded::default();
    let reading = async {
        loop {
            match body.frame().await {
                None => {
                    read.whole = true;
                    return;
                }
                Some(Err(_)) => return,
                Some(Ok(frame)) => {
                    let Some(data) = frame.data_ref() else { continue };
                    let room = limit - read.bytes.len();
                    read.bytes.extend_from_slice(&data[..data.len().min(room)]);
                    if data.len() > room {
                        return;
                    }
                }
            }
        }
    };
    // What was read so far stays when the deadline passes.
    let _ = tokio::time::timeout(deadline, reading).await;
    read
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{StreamExt, stream};
    use http_body_util::StreamBody;
    use hyper::body::Frame;

    fn frames(
        chunks: &[&'static str],
    ) -> impl futures_util::Stream<Item = Result<Frame<Bytes>, std::io::Error>> + Unpin {
        let frames: Vec<_> = chunks.iter().map(|chunk| Ok(Frame::data(Bytes::from_static(chunk.as_bytes())))).collect();
        stream::iter(frames)
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_is_read_up_to_its_limit_and_its_deadline() {
        let whole = read_bounded(StreamBody::new(frames(&["ab", "cd"])), 4, Duration::from_secs(1)).await;
        assert_eq!((whole.bytes.as_slice(), whole.whole), (b"abcd".as_slice(), true));

        let large = read_bounded(StreamBody::new(frames(&["ab", "cd"])), 3, Duration::from_secs(1)).await;
        assert_eq!((large.bytes.as_slice(), large.whole), (b"abc".as_slice(), false));

        let stalled = frames(&["ab"]).chain(stream::pending());
        let late = read_bounded(StreamBody::new(stalled), 4, Duration::from_secs(1)).await;
        assert_eq!((late.bytes.as_slice(), late.whole), (b"ab".as_slice(), false));
    }
}
