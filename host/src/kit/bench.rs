//! How long a tool's calls take.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::value::RawValue;
use tokio::task::JoinSet;

use crate::runtime::{CallConditions, CallStats, Tool, ToolCall};
use crate::store::{SessionKey, Timestamp};

/// Calls before the first that counts: they fill the pool's slots and the machine's caches.
const WARM_UP: usize = 10;

/// What the calls of one run took. Times in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    /// Calls that count.
    pub calls: usize,
    /// Those of them that gave no result.
    pub failed: usize,
    /// At once.
    pub concurrency: usize,
    /// The shortest.
    pub min_ms: f64,
    /// Half of the calls took at most so long,
    pub median_ms: f64,
    /// nine of ten,
    pub p90_ms: f64,
    /// ninety-nine of a hundred.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
    /// Of all calls together.
    pub calls_per_second: f64,
    /// The median of the time in the plugin's code; 0 where it was not measured.
    pub cpu_median_ms: f64,
    /// The most memory that one call held, in bytes.
    pub memory_peak: usize,
}

/// Makes `calls` calls, `concurrency` of them at a time, after some that don't count.
pub async fn run(
    tool: &Tool,
    arguments: &Arc<RawValue>,
    session: &SessionKey,
    calls: usize,
    concurrency: usize,
) -> Figures {
    for _ in 0..WARM_UP {
        one(tool, arguments, session).await;
    }
    let (calls, concurrency) = (calls.max(1), concurrency.max(1));
    let left = Arc::new(AtomicUsize::new(calls));
    let started = Instant::now();
    let mut workers = JoinSet::new();
    for _ in 0..concurrency {
        let (tool, arguments, session, left) = (tool.clone(), arguments.clone(), session.clone(), left.clone());
        workers.spawn(async move {
            let mut samples = Vec::new();
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                samples.push(one(&tool, &arguments, &session).await);
            }
            samples
        });
    }
    let samples = workers.join_all().await.into_iter().flatten().collect();
    figures(samples, started.elapsed(), concurrency)
}

/// One call: how long it took with all that the host does around it, and whether it gave a result.
struct Sample {
    time: Duration,
    stats: CallStats,
    failed: bool,
}

async fn one(tool: &Tool, arguments: &RawValue, session: &SessionKey) -> Sample {
    let call = ToolCall {
        agent: "bench",
        session,
        call: "bench",
        now: Timestamp::now(),
        arguments,
        progress: None,
        conditions: CallConditions::Live,
    };
    let started = Instant::now();
    let (result, stats) = tool.measured(call).await;
    Sample { time: started.elapsed(), stats, failed: result.is_err() }
}

fn figures(samples: Vec<Sample>, whole: Duration, concurrency: usize) -> Figures {
    let mut times: Vec<Duration> = samples.iter().map(|sample| sample.time).collect();
    times.sort_unstable();
    let mut cpu: Vec<Duration> = samples.iter().map(|sample| sample.stats.cpu).collect();
    cpu.sort_unstable();
    Figures {
        calls: samples.len(),
        failed: samples.iter().filter(|sample| sample.failed).count(),
        concurrency,
        min_ms: quantile(&times, 0),
        median_ms: quantile(&times, 50),
        p90_ms: quantile(&times, 90),
        p99_ms: quantile(&times, 99),
        max_ms: quantile(&times, 100),
        calls_per_second: samples.len() as f64 / whole.as_secs_f64().max(f64::EPSILON),
        cpu_median_ms: quantile(&cpu, 50),
        memory_peak: samples.iter().map(|sample| sample.stats.peak_memory).max().unwrap_or(0),
    }
}

/// In milliseconds: the smallest value that so many percent of the sorted ones do not exceed.
fn quantile(sorted: &[Duration], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).map_or(0.0, |time| time.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let times: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        let at = |percent| quantile(&times, percent).round() as u64;
        assert_eq!([at(0), at(50), at(90), at(99), at(100)], [1, 100, 180, 198, 200]);
        assert_eq!(quantile(&[Duration::from_millis(7)], 99).round() as u64, 7);
        assert_eq!(quantile(&[], 50).round() as u64, 0);
    }
}
