//! A component of any bytes, up to where it is refused or has said what it is: no panic, no abort,
//! and limits that hold.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use exoclaw::config::{LimitsConfig, PluginLimits};
use exoclaw::runtime::{Linkage, PluginSpec, Runtime, Services, Source};
use tokio::runtime;

/// Longer ones take the compiler too long to learn anything from.
const MAX_INPUT: usize = 64 << 10;

static SANDBOX: LazyLock<Runtime> =
    LazyLock::new(|| Runtime::new(&LimitsConfig::default(), Services::detached()).expect("a sandbox"));
static TASKS: LazyLock<runtime::Runtime> =
    LazyLock::new(|| runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("tasks"));

/// Whether it was loaded.
pub fn run(input: &[u8]) -> bool {
    if input.len() > MAX_INPUT {
        return false;
    }
    let spec = PluginSpec {
        linkage: Linkage::Refusing,
        limits: PluginLimits { time: Duration::from_millis(200), ..PluginLimits::default() },
        ..PluginSpec::new("fuzzed".parse().expect("a name"), Source::Bytes(Arc::from(input)))
    };
    match TASKS.block_on(SANDBOX.load(spec)) {
        Ok(plugin) => {
            let info = serde_json::to_string(&plugin.info()).expect("what is known of it is JSON");
            assert!(info.len() < 8 << 20, "{} bytes", info.len());
            true
        }
        Err(error) => {
            let told = error.to_string();
            assert!(told.starts_with("plugin `fuzzed`: ") && told.len() < 64 << 10, "{} bytes", told.len());
            false
        }
    }
}
