//! Compiled code that is kept on disk: the same plugin, sooner, and never anything else.

#![cfg(unix)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use exoclaw::runtime::{CodeCache, CodeOrigin};
use serde_json::json;
use tempfile::TempDir;

use super::*;

/// A folder for code, in one that goes with the test.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("cache/code")
    }

    /// A sandbox as another start of the gateway makes it.
    fn start(&self) -> Runtime {
        let cache = CodeCache::open(&self.path()).unwrap();
        Runtime::new(&LimitsConfig::default(), Services::detached()).unwrap().with_code_cache(Some(cache))
    }

    /// The files of code; of one component there is one.
    fn files(&self) -> Vec<PathBuf> {
        let paths = fs::read_dir(self.path()).unwrap().map(|entry| entry.unwrap().path());
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "code")).collect()
    }
}

async fn echoes(plugin: &Arc<Plugin>) -> bool {
    text(&tool(plugin, "echo"), json!({ "text": "hi" })).await.is_ok_and(|text| text == "hi")
}

#[tokio::test]
async fn a_second_start_runs_what_the_first_compiled() {
    let place = Place::new();
    let first = place.start().load(spec("echo")).await.unwrap();
    let second = place.start().load(spec("echo")).await.unwrap();
    assert_eq!((first.code(), second.code()), (CodeOrigin::Fresh, CodeOrigin::Cache));
    let shown = |plugin: &Plugin| {
        let mut info = serde_json::to_value(plugin.info()).unwrap();
        // How long it took is no two times the same.
        for time in ["cpu_ms", "wall_ms"] {
            info["counts"][time].take();
        }
        (info["code"].take(), info)
    };
    let ((fresh, first), (cache, known)) = (shown(&first), shown(&second));
    assert_eq!((fresh, cache), (json!("fresh"), json!("cache")));
    assert_eq!(first, known, "and nothing else differs");
    assert!(echoes(&second).await);
    assert_eq!(load(spec("echo")).await.code(), CodeOrigin::Fresh, "without a cache");
}

#[tokio::test]
async fn code_from_disk_has_its_limits_like_any_other() {
    let place = Place::new();
    let limits = PluginLimits { time: Duration::from_secs(2), ..PluginLimits::default() };
    let hostile = || PluginSpec { limits, ..spec("hostile") };
    place.start().load(hostile()).await.unwrap();
    let plugin = place.start().load(hostile()).await.unwrap();
    assert_eq!(plugin.code(), CodeOrigin::Cache);
    assert!(matches!(call(&tool(&plugin, "spin"), "{}").await, Err(CallError::Timeout(_))));
    assert!(matches!(call(&tool(&plugin, "trap"), "{}").await, Err(CallError::Trap(_))));
    assert_eq!(text(&tool(&plugin, "answer"), json!({})).await.unwrap(), "42");
}

#[tokio::test]
async fn what_becomes_of_the_file_of_running_code_changes_nothing() {
    let place = Place::new();
    place.start().load(spec("clock")).await.unwrap();
    let plugin = place.start().load(spec("clock")).await.unwrap();
    assert_eq!(plugin.code(), CodeOrigin::Cache);
    let clock = tool(&plugin, "current_time");
    let told = async || text(&clock, json!({ "timezone": "Pacific/Auckland" })).await.unwrap();
    let before = told().await;
    // Code that is mapped from its file would end this process here.
    for file in place.files() {
        fs::write(file, "").unwrap();
    }
    assert_eq!(told().await, before);
    fs::remove_dir_all(place.path()).unwrap();
    assert_eq!(told().await, before);
}

#[tokio::test]
async fn a_file_that_is_not_what_was_written_is_compiled_again_and_replaced() {
    let place = Place::new();
    place.start().load(spec("clock")).await.unwrap();
    let clock = fs::read(&place.files()[0]).unwrap();
    fs::remove_file(&place.files()[0]).unwrap();
    place.start().load(spec("echo")).await.unwrap();
    let file = place.files().remove(0);
    let echo = fs::read(&file).unwrap();
    let flip = |at: usize| {
        let mut bytes = echo.clone();
        bytes[at] ^= 0x80;
        bytes
    };
    let forgeries = [
        // Genuine code of another component, with and without the right beginning.
        clock.clone(),
        [&echo[..48], &clock[48..]].concat(),
        echo[48..].to_vec(),
        echo[..echo.len() - 4_096].to_vec(),
        flip(0),
        flip(20),
        flip(echo.len() / 2),
        flip(echo.len() - 1),
        Vec::new(),
    ];
    for (index, forged) in forgeries.into_iter().enumerate() {
        fs::write(&file, forged).unwrap();
        let plugin = place.start().load(spec("echo")).await.unwrap();
        assert_eq!(plugin.code(), CodeOrigin::Fresh, "forgery {index}");
        assert!(echoes(&plugin).await);
        let plugin = place.start().load(spec("echo")).await.unwrap();
        assert_eq!(plugin.code(), CodeOrigin::Cache, "after forgery {index}");
        assert!(echoes(&plugin).await);
    }
}

#[tokio::test]
async fn what_is_refused_is_refused_from_the_cache_too() {
    let place = Place::new();
    let refused = async || {
        let pinned = PluginSpec { sha256: Some([1; 32]), ..spec("echo") };
        let runtime = place.start();
        let (ungranted, pinned) = (runtime.load(spec("ungranted")).await, runtime.load(pinned).await);
        (ungranted.unwrap_err().to_string(), pinned.unwrap_err().to_string())
    };
    place.start().load(spec("echo")).await.unwrap();
    let first = refused().await;
    assert!(first.0.contains("exoclaw:plugin/store") && first.1.contains("pins"), "{first:?}");
    assert_eq!(place.files().len(), 2, "the code of both is there");
    assert_eq!(refused().await, first);
}

#[tokio::test]
async fn a_file_of_the_cache_is_no_plugin() {
    let place = Place::new();
    place.start().load(spec("echo")).await.unwrap();
    let file = place.files().remove(0);
    let code = fs::read(&file).unwrap()[48..].to_vec();
    assert!(matches!(problem(of_file(&file)).await, LoadProblem::NotWasm));
    let bare = place.0.path().join("echo.cwasm");
    fs::write(&bare, code).unwrap();
    assert!(matches!(problem(of_file(&bare)).await, LoadProblem::Precompiled));
}

fn of_file(path: &Path) -> PluginSpec {
    PluginSpec { source: Source::File(path.to_owned()), ..spec("echo") }
}

#[tokio::test]
async fn a_component_that_is_loaded_many_times_at_once_is_compiled_once() {
    let place = Place::new();
    let runtime = place.start();
    let loads = (0..6).map(|_| runtime.load(spec("echo")));
    let plugins = futures_util::future::join_all(loads).await;
    let fresh = plugins.iter().filter(|plugin| plugin.as_ref().unwrap().code() == CodeOrigin::Fresh).count();
    assert_eq!(fresh, 1);
    for plugin in &plugins {
        assert!(echoes(plugin.as_ref().unwrap()).await);
    }
}

#[tokio::test]
async fn what_is_compiled_ahead_is_there_when_it_is_loaded() {
    let place = Place::new();
    let first = place.start().compile_ahead(spec("echo")).await.unwrap().unwrap();
    let again = place.start().compile_ahead(spec("echo")).await.unwrap().unwrap();
    assert_eq!((first.origin, again.origin), (CodeOrigin::Fresh, CodeOrigin::Cache));
    assert_eq!(first.kept.unwrap(), again.kept.unwrap());
    assert_eq!((first.size, &first.sha256), (guest("echo").bytes.len(), &again.sha256));
    assert_eq!(place.start().load(spec("echo")).await.unwrap().code(), CodeOrigin::Cache);
    // Nothing of it ran: this one could not even be loaded.
    assert!(place.start().compile_ahead(spec("undescribed")).await.is_ok());
    assert!(RUNTIME.compile_ahead(spec("echo")).await.unwrap().is_none(), "there is no cache to keep it in");
}
