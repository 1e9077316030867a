//! `dirs`: a folder is the plugin's as far as it is granted, and nothing leads out of it.

use std::path::Path;

use exoclaw::config::{DirGrant, GrantsConfig};
use exoclaw::store::MemoryLimits;
use serde_json::json;

use super::capabilities::{For, World, all, shared};
use super::*;

/// The grant of one folder, as `/data`.
fn data(folder: &Path, writable: bool) -> GrantsConfig {
    let dirs = vec![DirGrant { host: folder.to_owned(), guest: "/data".into(), writable }];
    GrantsConfig { dirs, ..all() }
}

#[tokio::test]
async fn a_folder_that_is_granted_to_write_is_the_plugins_own() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("given.txt"), "given").unwrap();
    let world = World::new(MemoryLimits::default());
    let keeper = world.keeper("keeper", data(folder.path(), true), PluginLimits::default()).await;
    let keeper = For::new(&keeper);
    assert_eq!(keeper.call("read_path", json!({ "path": "/data/given.txt" })).await, "given");
    keeper.call("make_folder", json!({ "path": "/data/sub" })).await;
    keeper.call("write_path", json!({ "path": "/data/sub/new.txt", "value": "new" })).await;
    keeper.call("append_path", json!({ "path": "/data/sub/new.txt", "value": "er" })).await;
    assert_eq!(std::fs::read_to_string(folder.path().join("sub/new.txt")).unwrap(), "newer");
    keeper.call("rename_path", json!({ "path": "/data/sub/new.txt", "to": "/data/moved.txt" })).await;
    keeper.call("remove_path", json!({ "path": "/data/given.txt" })).await;
    assert_eq!(keeper.call("list_path", json!({ "path": "/data" })).await, "moved.txt sub");
    assert!(!folder.path().join("given.txt").exists());
}

#[tokio::test]
async fn a_folder_that_is_granted_to_read_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let given = folder.path().join("given.txt");
    std::fs::write(&given, "given").unwrap();
    let world = World::new(MemoryLimits::default());
    let keeper = world.keeper("keeper", data(folder.path(), false), PluginLimits::default()).await;
    let keeper = For::new(&keeper);
    assert_eq!(keeper.call("read_path", json!({ "path": "/data/given.txt" })).await, "given");
    for (tool, arguments) in [
        ("write_path", json!({ "path": "/data/given.txt", "value": "taken" })),
        ("write_path", json!({ "path": "/data/new.txt", "value": "new" })),
        ("append_path", json!({ "path": "/data/given.txt", "value": "more" })),
        ("remove_path", json!({ "path": "/data/given.txt" })),
        ("rename_path", json!({ "path": "/data/given.txt", "to": "/data/moved.txt" })),
        ("make_folder", json!({ "path": "/data/sub" })),
    ] {
        let refused = keeper.fails(tool, arguments).await;
        assert!(refused.starts_with("PermissionDenied"), "{tool}: {refused}");
    }
    assert_eq!(std::fs::read_to_string(&given).unwrap(), "given");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[cfg(unix)]
#[tokio::test]
async fn no_path_and_no_link_leads_out_of_a_folder() {
    let outside = tempfile::tempdir().unwrap();
    let (secret, folder) = (outside.path().join("secret.txt"), outside.path().join("granted"));
    std::fs::write(&secret, "secret").unwrap();
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("inside.txt"), "inside").unwrap();
    for (target, name) in [
        (secret.to_str().unwrap(), "absolute"),
        ("../secret.txt", "relative"),
        (outside.path().to_str().unwrap(), "folder"),
        ("inside.txt", "honest"),
    ] {
        std::os::unix::fs::symlink(target, folder.join(name)).unwrap();
    }
    let world = World::new(MemoryLimits::default());
    let keeper = world.keeper("keeper", data(&folder, true), PluginLimits::default()).await;
    let keeper = For::new(&keeper);
    assert_eq!(keeper.call("read_path", json!({ "path": "/data/honest" })).await, "inside");
    let secret_path = secret.to_str().unwrap();
    for path in [
        "/data/../secret.txt",
        "/data/absolute",
        "/data/relative",
        "/data/folder/secret.txt",
        "/data/./../granted/../secret.txt",
        "secret.txt",
        secret_path,
        "/etc/passwd",
    ] {
        for (tool, arguments) in [
            ("read_path", json!({ "path": path })),
            ("write_path", json!({ "path": path, "value": "taken" })),
            ("rename_path", json!({ "path": "/data/inside.txt", "to": path })),
        ] {
            // A link itself may be replaced by a file; it is never followed out.
            if tool == "rename_path" && ["/data/absolute", "/data/relative"].contains(&path) {
                continue;
            }
            keeper.fails(tool, arguments).await;
        }
    }
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), "secret");
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 2);
}

#[tokio::test]
async fn without_the_grant_there_is_no_folder() {
    let keeper = shared().await;
    for path in ["/", ".", "/data", "/etc/passwd", "/tmp"] {
        For::new(keeper).fails("list_path", json!({ "path": path })).await;
        For::new(keeper).fails("read_path", json!({ "path": path })).await;
    }
}

#[tokio::test]
async fn a_granted_folder_that_is_missing_refuses_the_plugin() {
    let folder = tempfile::tempdir().unwrap();
    let (missing, file) = (folder.path().join("missing"), folder.path().join("file"));
    std::fs::write(&file, "a file").unwrap();
    let world = World::new(MemoryLimits::default());
    for path in [missing, file] {
        let spec = PluginSpec { grants: data(&path, false), ..spec("keeper") };
        let refused = world.runtime.load(spec).await.unwrap_err().to_string();
        for part in ["plugin `keeper`", path.to_str().unwrap(), "`dirs`", "make it, or correct"] {
            assert!(refused.contains(part), "{part} is not in {refused}");
        }
    }
}
