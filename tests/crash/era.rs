//! One run over one set of files: users talk, the process is killed and started again, and in the end all
//! is looked at.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::audit;
use crate::books::Books;
use crate::dice::Dice;

use crate::harness::{Builder, Gateway, WIRES};
use crate::model::{Model, Said};
use crate::user::{Mood, User, World};

const USERS: usize = 8;

/// The store's file, in the gateway's folder.
const FILE: &str = "crash.db";

/// Kills a gateway so often, and checks what is left.
pub(crate) async fn run(crashes: u32, mut dice: Dice) {
    let home = Arc::new(TempDir::new().expect("a temporary folder"));
    let model = Model::start(WIRES[dice.below(WIRES.len())], dice.split(0)).await;
    let builder = gateway(&model, home.path()).home(&home);

    let mut gateway = builder.clone().start().await;
    let (world, watching) = watch::channel(World { address: gateway.address(), mood: Mood::Talk });
    let mut users = JoinSet::new();
    for number in 0..USERS {
        let dice = dice.split(number as u64);
        users.spawn(User::new(number, watching.clone(), dice).run());
    }

    let mut starts = Vec::new();
    for _ in 0..crashes {
        // Mostly before it gets far; now and then not before all that was begun could end.
        let life = if dice.once_in(4) { dice.millis(300..1_500) } else { dice.millis(50..300) };
        sleep(life).await;
        died(gateway);
        // A failure of a user's is told now, and not after all the other kills.
        if let Some(early) = users.try_join_next() {
            early.expect("a user who found nothing wrong");
        }
        if dice.once_in(8) {
            // Killed while it starts, and takes up what another has left.
            let starting = builder.clone().launch();
            sleep(dice.millis(0..200)).await;
            died(starting);
        }
        let launched = Instant::now();
        gateway = builder.clone().start().await;
        starts.push(launched.elapsed());
        tell(&world, gateway.address(), Mood::Talk);
    }
    tell(&world, gateway.address(), Mood::Listen);
    let books = users.join_all().await;

    died(gateway);
    let mut gateway = builder.clone().start().await;
    for books in &books {
        audit::told(gateway.address(), books).await;
    }
    gateway.terminate();
    let (code, logs) = gateway.ended().await;
    assert_eq!(code, Some(0), "it goes down in order: {logs:#?}");
    let memory = std::mem::take(&mut *model.memory.lock().expect("no poison"));
    let outcomes = audit::kept(&home.path().join(FILE), &books, &memory).await;
    report(crashes, &mut starts, &books, memory.all());
    eprintln!("  records: {outcomes:?}");
}

fn tell(world: &watch::Sender<World>, address: SocketAddr, mood: Mood) {
    world.send_replace(World { address, mood });
}

/// A gateway with the bundled tools, and one whose calls must not be repeated.
fn gateway(model: &Model, home: &Path) -> Builder {
    let keeper = home.join("keeper.wasm");
    let bytes = exoclaw_bundle_test::find("keeper").expect("a guest").bytes;
    std::fs::write(&keeper, bytes).expect("a writable folder");
    let bundled = ["echo", "clock", "calculator"];
    let bundled = bundled.map(|name| format!("[[plugins]]\nname = {name:?}\npath = \"bundled:{name}\"\n")).concat();
    let keeper = format!(
        "[[plugins]]\nname = \"keeper\"\npath = {keeper:?}\n[plugins.grants]\n\
         store = true\nfiles = \"write\"\nprogress = true\nmemory = \"read\"\n"
    );
    Gateway::builder()
        .provider(&model.provider)
        .agent("context_tokens = 300")
        .tables("[limits.plugin]\nrate = 1000000\n")
        .tables(&format!("[storage]\nurl = \"sqlite:{}\"", home.join(FILE).display()))
        .plugins(&bundled)
        .plugins(&keeper)
}

/// Kills it with SIGKILL. It must not have died of itself before.
fn died(mut gateway: Gateway) {
    let logs = gateway.kill();
    let panics: Vec<_> = logs.iter().filter(|line| line.contains("panicked at")).collect();
    assert!(panics.is_empty(), "{panics:#?}");
}

fn report<'a>(crashes: u32, starts: &mut [Duration], books: &[Books], said: impl Iterator<Item = &'a Said>) {
    starts.sort_unstable();
    let (mut whole, mut cut, mut refused) = (0, 0, 0);
    for said in said {
        match said {
            Said::Whole { .. } => whole += 1,
            Said::Cut => cut += 1,
            Said::Refused => refused += 1,
        }
    }
    let messages: usize = books.iter().map(|books| books.sent.len()).sum();
    let seen = books.iter().flat_map(|books| books.seen.values());
    let failed: usize = seen.map(|seen| seen.failed()).sum();
    let start = starts.get(starts.len() / 2).copied().unwrap_or_default();
    eprintln!("  {crashes} kills, started again within {start:?} in the median");
    eprintln!("  {messages} messages, of whose turns {failed} ended with an error");
    eprintln!("  requests: {whole} answered, {cut} cut, {refused} refused");
}
