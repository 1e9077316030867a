//! Resolving a peer to its agent, at 10, 1,000 and 10,000 bindings of all kinds.
#![allow(missing_docs, clippy::expect_used)]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use exoclaw::agent::{Peer, Router};
use exoclaw::config::{AgentName, BindingConfig};

fn binding(index: usize) -> BindingConfig {
    let part = |kind: usize, name: &str| (index % 5 == kind).then(|| format!("{name}-{index}"));
    BindingConfig {
        agent: format!("agent-{}", index % 16).parse().expect("a name"),
        channel: Some(format!("channel-{}", index % 7)),
        account: part(1, "account"),
        team: part(2, "team"),
        guild: part(3, "guild"),
        peer: part(4, "peer"),
    }
}

fn peer(index: usize) -> Peer {
    Peer {
        channel: format!("channel-{}", index % 7),
        account: format!("account-{index}"),
        peer: format!("peer-{index}"),
        guild: Some(format!("guild-{index}")),
        team: Some(format!("team-{index}")),
    }
}

fn resolve(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("route");
    for count in [10, 1_000, 10_000] {
        // One in five names a channel alone; later ones of those say the same as earlier ones.
        let bindings: Vec<_> = (0..count).filter(|index| index % 5 != 0 || *index < 7).map(binding).collect();
        let router = Router::new(&bindings, AgentName::default_agent()).expect("no contradiction");
        let peers: Vec<_> = (0..1_024).map(|index| peer(index * 7 % count)).collect();
        let mut next = 0;
        group.bench_with_input(BenchmarkId::new("hit", count), &router, |bencher, router| {
            bencher.iter(|| {
                next = (next + 1) % peers.len();
                black_box(router.resolve(black_box(&peers[next])));
            });
        });
        let stranger = peer(usize::MAX / 2);
        group.bench_with_input(BenchmarkId::new("miss", count), &router, |bencher, router| {
            bencher.iter(|| black_box(router.resolve(black_box(&stranger))));
        });
    }
    group.finish();
}

criterion_group!(benches, resolve);
criterion_main!(benches);
