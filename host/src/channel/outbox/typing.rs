//! Shows that the agent writes. Nothing of it is stored, and nothing waits for it.

use std::time::Duration;

use bytes::Bytes;

use super::outgoing::outgoing;
use super::watch::Watched;
use super::{plugin, work};
use crate::runtime::bindings::channel::{Content, Next};
use crate::store::{Delivery, DeliveryId, DeliveryState};

/// The most steps of showing it once.
const MOST_STEPS: usize = 8;

/// The shortest time between two.
const SHORTEST: Duration = Duration::from_secs(1);

/// Shows it again and again, until some of the text is shown or the turn is over.
pub(super) async fn show(watched: &Watched<'_>, every_ms: u32) {
    let every = SHORTEST.max(Duration::from_millis(u64::from(every_ms)));
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let shown = async {
        loop {
            ticks.tick().await;
            if let Err(reason) = once(watched).await {
                // The answer itself will say more, if it fares no better.
                tracing::debug!(turn = %watched.passage.turn, reason, "that the agent writes is not shown");
                return;
            }
        }
    };
    tokio::select! {
        biased;
        () = watched.over.cancelled() => {}
        () = watched.shown.cancelled() => {}
        () = shown => {}
    }
}

/// Shows it once. A rate limit or a connection that is not there leaves it out.
async fn once(watched: &Watched<'_>) -> Result<(), String> {
    let shared = watched.shared;
    let account = watched.route.account.as_deref();
    let out = outgoing(&nothing(watched), &watched.route, Content::Typing);
    let problem = |trouble| match trouble {
        plugin::Trouble::Later { reason, .. } | plugin::Trouble::Dead(reason) => reason,
    };
    let mut step = plugin::format(shared, &out, &[]).await.map_err(problem)?;
    for _ in 0..MOST_STEPS {
        shared.holds.learn(account, &step.holds, shared.now());
        let progress = Bytes::from(step.progress);
        step = match step.next {
            Next::Request(limited) => {
                if shared.holds.until(account, &limited.keys, shared.now()).is_some() {
                    return Ok(());
                }
                let sends = shared.sends.borrow().clone();
                let outcome = sends.send(&limited.request, Some(&watched.passage.session)).await;
                plugin::parse(shared, &out, &progress, &outcome).await.map_err(problem)?
            }
            Next::Frame(frame) => {
                if work::write(shared, frame).await.is_err() {
                    return Ok(());
                }
                plugin::format(shared, &out, &progress).await.map_err(problem)?
            }
            Next::Done(_) | Next::Wait(_) | Next::Unknown(_) => return Ok(()),
            Next::Rejected(reason) => return Err(reason),
        };
    }
    Ok(())
}

/// The delivery that it would be if it were kept.
fn nothing(watched: &Watched<'_>) -> Delivery {
    let (passage, now) = (watched.passage, watched.shared.now());
    Delivery {
        id: DeliveryId(passage.turn),
        session: Some(passage.session.clone()),
        channel: passage.destination.channel.clone(),
        conversation: passage.destination.conversation.clone(),
        content: Bytes::new(),
        draft: true,
        state: DeliveryState::Pending,
        progress: None,
        attempts: 0,
        due: now,
        reason: None,
        shown: Vec::new(),
        receipt: None,
        created_at: now,
    }
}
