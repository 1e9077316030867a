//! Watches a turn whose answer goes to the channel, and shows that it comes.

use tokio::sync::watch as latest;
use tokio_util::sync::CancellationToken;

use super::growing::Growing;
use super::{Shared, draft, typing};
use crate::agent::Passage;
use crate::bus::Attachment;
use crate::channel::route::Route;

/// What is shown of a turn that is under way.
pub(super) struct Watched<'a> {
    pub(super) shared: &'a Shared,
    pub(super) passage: &'a Passage,
    pub(super) route: Route,
    /// Cancelled when the turn is over, or the outbox is.
    pub(super) over: CancellationToken,
    /// Cancelled when some of the text is shown.
    pub(super) shown: CancellationToken,
}

/// Shows that an answer comes, until it is there.
pub(super) async fn watch(shared: &Shared, passage: &Passage, attachment: Attachment, ended: CancellationToken) {
    let features = shared.line.plugin().setup().features;
    let drafts = features.draft_ms.filter(|_| shared.line.config.drafts);
    if drafts.is_none() && features.typing_ms.is_none() {
        return;
    }
    let Ok(route) = Route::parse(&passage.destination.address) else {
        return tracing::warn!(turn = %passage.turn, "its address can't be read; nothing is shown before its answer");
    };
    let over = shared.stop.child_token();
    let watched = Watched { shared, passage, route, over: over.clone(), shown: CancellationToken::new() };
    let (text, growing) = latest::channel(Growing::default());
    let following = async {
        tokio::select! {
            biased;
            () = over.cancelled() => {}
            () = ended.cancelled() => {}
            () = follow(shared, passage, attachment, &text) => {}
        }
        over.cancel();
    };
    let typing = async {
        if let Some(every) = features.typing_ms {
            typing::show(&watched, every).await;
        }
    };
    let drafting = async {
        if let Some(every) = drafts {
            draft::show(&watched, growing, every).await;
        }
    };
    tokio::join!(following, typing, drafting);
}

/// Takes in the turn's events until it ends.
async fn follow(shared: &Shared, passage: &Passage, mut attachment: Attachment, text: &latest::Sender<Growing>) {
    loop {
        let Attachment { open, mut live } = attachment;
        let own = open.iter().filter(|event| event.turn == passage.turn);
        text.send_if_modified(|growing| {
            let mut new = Growing::default();
            own.for_each(|event| drop(new.take(&event.body)));
            let changed = new != *growing;
            *growing = new;
            changed
        });
        while let Some(event) = live.recv().await {
            if event.turn != passage.turn {
                continue;
            }
            if event.body.ends_turn() {
                return;
            }
            text.send_if_modified(|growing| growing.take(&event.body));
        }
        // It fell behind. What it missed is in what it is given when it comes again.
        attachment = shared.line.dispatcher.hub().attach(&passage.session);
        if !attachment.open.iter().any(|event| event.turn == passage.turn) {
            return;
        }
    }
}
