//! The people who write while the gateway is killed, the model that answers them, and where they read it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::time::sleep;

use crate::harness::{FakeProvider, Gate, Gateway, Reply, Request, Wire};
use crate::life::{Lives, a_little};
use crate::platform::dice::Dice;

/// Messages that may wait for their answers at once. Beyond `[limits] queued` in one session, their senders would be
/// told to wait.
const OPEN: usize = 24;

/// Conversations in which people write.
pub(crate) const PLACES: usize = 12;

/// A platform, as the people see it.
pub(crate) trait Platform: Send + Sync + 'static {
    /// Someone writes this, in the conversation with this number.
    fn say(&self, place: usize, text: &str);

    /// What the agent's messages say now, in the order in which they came.
    fn shown(&self) -> Vec<String>;

    /// Waits until `enough` of them.
    fn until(&self, what: &str, enough: impl Fn(&[String]) -> bool + Send + Sync) -> impl Future<Output = ()> + Send;

    /// Waits until all that was sent to it is read.
    fn quiet(&self) -> impl Future<Output = ()> + Send;
}

/// How an answer comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// At once.
    Whole,
    /// It grows.
    Growing,
}

/// A message.
pub(crate) fn name(number: usize) -> String {
    format!("message {number}")
}

/// What is answered to a message: how it begins, and how it ends.
pub(crate) fn answer_to(text: &str) -> (String, &'static str) {
    (format!("You said: {text}"), ", and I have nothing to add.")
}

/// The whole answer to the message with this number.
pub(crate) fn whole_answer(number: usize) -> String {
    let (begins, ends) = answer_to(&name(number));
    begins + ends
}

/// The number of the message that this answers, as far as it came.
pub(crate) fn number_in(answer: &str) -> Option<usize> {
    let rest = answer.strip_prefix("You said: message ")?;
    rest.split(',').next()?.parse().ok()
}

/// A model that takes its time.
pub(crate) async fn model(dice: Dice, style: Style) -> FakeProvider {
    let dice = std::sync::Mutex::new(dice);
    FakeProvider::start(Wire::Anthropic, move |request: &Request| {
        let pause = |longest: u64| {
            let (gate, pause) = (Gate::new(), dice.lock().expect("no poison").millis(0..longest));
            let opens = gate.clone();
            tokio::spawn(async move {
                sleep(pause).await;
                opens.open();
            });
            gate
        };
        let (begins, ends) = answer_to(&request.question());
        match style {
            Style::Whole => Reply::new().wait(&pause(20)).say(begins + ends),
            Style::Growing => Reply::new().wait(&pause(20)).say(begins).wait(&pause(200)).say(ends),
        }
    })
    .await
}

/// What is waited for.
#[derive(Clone)]
struct Open<P> {
    platform: Arc<P>,
    /// Messages whose answers may never come, if their owner said so.
    held: Arc<dyn Fn() -> BTreeSet<usize> + Send + Sync>,
}

impl<P: Platform> Open<P> {
    /// Waits until fewer than so many of the first `said` messages have no answer.
    async fn below(&self, said: usize, limit: usize) {
        let enough = |shown: &[String]| {
            let shown: BTreeSet<&str> = shown.iter().map(String::as_str).collect();
            let held = (self.held)();
            let open = (0..said).filter(|number| !shown.contains(&*whole_answer(*number)) && !held.contains(number));
            open.count() < limit
        };
        self.platform.until(&format!("the first {said} messages are answered"), enough).await;
    }
}

/// Kills the gateway while people write so many messages, and a little longer; then lets it answer all of them.
/// Where `holds`, what is in doubt is not waited for.
pub(crate) async fn write<P: Platform>(
    platform: &Arc<P>,
    lives: &mut Lives<P>,
    messages: usize,
    holds: bool,
    mut dice: Dice,
) -> Gateway {
    let doubts = Arc::clone(lives.doubts());
    let held = move || if holds { doubts.messages() } else { BTreeSet::new() };
    let open = Open { platform: Arc::clone(platform), held: Arc::new(held) };
    let said = Arc::new(AtomicUsize::new(0));
    let writer = tokio::spawn({
        let (open, said) = (Open { platform: Arc::clone(platform), held: Arc::clone(&open.held) }, Arc::clone(&said));
        async move {
            for number in 0..messages {
                open.below(number, OPEN).await;
                open.platform.say(dice.below(PLACES), &name(number));
                said.store(number + 1, Ordering::SeqCst);
                a_little(&mut dice).await;
            }
        }
    });
    let mut more = 3;
    while more > 0 {
        more -= usize::from(writer.is_finished());
        lives.violence(open.below(said.load(Ordering::SeqCst), 1)).await;
    }
    writer.await.expect("a writer who found nothing wrong");
    let gateway = lives.peace().await;
    open.below(messages, 1).await;
    gateway
}
