//! The process ends anywhere: nothing is lost, and what may be shown twice is marked.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::*;

/// A platform that answers by itself and remembers what it shows, over restarts of the gateway.
#[derive(Default)]
struct Shows {
    /// By delivery and part: how often it was taken.
    taken: Mutex<BTreeMap<(String, String), u32>>,
    /// A repeat of a part is known by its key.
    keyed: bool,
}

impl Sends for Shows {
    fn send<'a>(&'a self, request: &'a Outbound, _: Option<&'a SessionKey>) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let asked = Asked::of(request, oneshot::channel().0);
            // On its way there, and on its way back.
            tokio::task::yield_now().await;
            {
                let mut taken = self.taken.lock().expect("not poisoned");
                let times = taken.entry((asked.to.clone(), asked.body.clone())).or_default();
                *times = if self.keyed { 1 } else { *times + 1 };
            }
            tokio::task::yield_now().await;
            let answer = accept(&asked.body, &format!("{} {}", asked.to, asked.body));
            Ok(Response { status: 200, headers: vec![], body: answer.into() })
        })
    }
}

/// Delivers three texts of two parts each, and crashes after each of `polls`. Says how many parts were
/// taken twice, and how many deliveries are marked.
async fn crash_after(store: &DynStore, plugin: &LazyLock<ChannelPlugin>, polls: &[usize]) -> Result<(usize, usize)> {
    let keyed = std::ptr::eq(plugin, &raw const KEYED);
    let shows = Arc::new(Shows { keyed, ..Shows::default() });
    let mut bench = Bench::over(store, plugin, Wants::default(), Arc::clone(&shows) as Arc<dyn Sends>).await?;
    for (number, peer) in [(1, "ada"), (2, "ada"), (3, "bob")] {
        bench.open(number, peer, &format!("{number}a|{number}b")).await?;
    }
    for polls in polls {
        for _ in 0..*polls {
            tokio::task::yield_now().await;
        }
        bench.crash().await;
        bench = Bench::over(store, plugin, Wants::default(), Arc::clone(&shows) as Arc<dyn Sends>).await?;
    }
    let mut marked = 0;
    for number in 1..=3 {
        let sent = tokio::time::timeout(Duration::from_secs(3_600), settled(&bench, id(number))).await??;
        assert_eq!(sent.shown.len(), 2, "{sent:?}");
        marked += usize::from(bench.entry(sent).unknown > 0);
    }
    let taken = shows.taken.lock().expect("not poisoned").clone();
    assert_eq!(taken.len(), 6, "nothing is lost: {taken:?}");
    Ok((taken.values().filter(|times| **times > 1).count(), marked))
}

/// What was sent at last, however long it had to wait.
async fn settled(bench: &Bench, id: DeliveryId) -> Result<Delivery> {
    loop {
        let found = bench.store.delivery(id).await?.ok_or("no delivery")?;
        if found.state == crate::store::DeliveryState::Sent {
            return Ok(found);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_between_any_two_steps_loses_nothing_and_what_is_doubled_is_marked() -> Result {
    let (mut doubled, mut whole) = (0, 0);
    for polls in 0..60 {
        let (twice, marked) = crash_after(&memory(), &PLAIN, &[polls]).await?;
        assert!(twice <= marked, "after {polls} polls: {twice} parts twice, {marked} deliveries marked");
        doubled += twice;
        whole += usize::from(marked == 0);
    }
    assert!(doubled > 0, "some fell between a request and its answer");
    assert!(whole > 0, "and some did not");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn crash_upon_crash_loses_nothing() -> Result {
    for polls in 1..12 {
        let (twice, marked) = crash_after(&memory(), &PLAIN, &[polls * 3, polls, 2 * polls]).await?;
        assert!(twice == 0 || marked > 0, "after {polls} polls");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn on_a_platform_with_keys_a_crash_doubles_nothing_and_marks_nothing() -> Result {
    for polls in 0..60 {
        assert_eq!(crash_after(&memory(), &KEYED, &[polls]).await?, (0, 0), "after {polls} polls");
    }
    Ok(())
}

#[tokio::test]
async fn in_a_file_too_a_crash_while_a_request_is_under_way_repeats_that_request_alone() -> Result {
    let folder = tempfile::tempdir()?;
    for (crash_at, number) in [("0 a", 1), ("1 b", 2), ("2 c", 3)] {
        let store = sqlite(&folder)?;
        let bench = Bench::start(&store, &PLAIN).await?;
        let id = bench.open(number, "ada", "a|b|c").await?;
        let mut seen = Vec::new();
        loop {
            let asked = bench.asked().await?;
            seen.push(asked.body.clone());
            if asked.body == crash_at {
                break;
            }
            asked.shown("m");
        }
        bench.crash().await;
        drop(store);
        let store = sqlite(&folder)?;
        let bench = Bench::start(&store, &PLAIN).await?;
        for left in ["0 a", "1 b", "2 c"].into_iter().skip_while(|part| *part != crash_at) {
            let asked = bench.asked().await?;
            assert_eq!(asked.body, left);
            asked.shown("m");
        }
        let sent = settled(&bench, id).await?;
        let entry = bench.entry(sent);
        assert_eq!((entry.state, entry.unknown), (OutboxState::Sent, 1));
        assert!(entry.reason.is_some_and(|reason| reason.contains("twice")));
        bench.crash().await;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_a_crash_cut_is_not_taken_for_written() -> Result {
    let store = memory();
    let bench = Bench::start(&store, &PLAIN).await?;
    let id = bench.open(1, "ada", "line a").await?;
    let (_, _result) = bench.frame().await?;
    bench.crash().await;
    let bench = Bench::start(&store, &PLAIN).await?;
    let (text, result) = bench.frame().await?;
    assert_eq!(text, "line a");
    let _ = result.send(Ok(()));
    let sent = settled(&bench, id).await?;
    assert_eq!(bench.entry(sent).unknown, 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_was_superseded_sends_nothing_more() -> Result {
    let store = memory();
    let old = Bench::start(&store, &PLAIN).await?;
    let id = old.open(1, "ada", "one|two").await?;
    let asked = old.asked().await?;
    let new = Bench::start(&store, &PLAIN).await?;
    new.asked().await?.shown("m1");
    new.asked().await?.shown("m2");
    settled(&new, id).await?;
    asked.shown("old");
    old.outbox.shared.stop.cancelled().await;
    assert!(old.asked.lock().await.try_recv().is_err());
    Ok(())
}
