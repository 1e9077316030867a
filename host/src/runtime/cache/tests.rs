//! What is kept is found again; what was not kept here never is.

#![cfg(unix)]

use std::fs::{self, File, Permissions};
use std::hash::Hash;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::Command;
use std::time::Duration;

use proptest::prelude::*;
use ring::digest;
use tempfile::TempDir;

use super::*;

/// A component with nothing in it.
const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";
const DIGEST: [u8; 32] = [7; 32];

/// A folder for a cache, in one that goes with the test.
struct Place {
    _home: TempDir,
    path: PathBuf,
}

impl Place {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        Self { path: home.path().join("cache/code"), _home: home }
    }

    fn cache(&self) -> CodeCache {
        CodeCache::open(&self.path).unwrap()
    }

    fn refused(&self) -> CacheError {
        CodeCache::open(&self.path).unwrap_err()
    }

    fn names(&self) -> Vec<String> {
        let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        let mut names: Vec<_> = fs::read_dir(&self.path).unwrap().map(name).collect();
        names.sort();
        names
    }
}

/// A cache with the code of [`EMPTY`] in it.
struct Kept {
    place: Place,
    cache: EngineCache,
    component: Component,
    file: PathBuf,
}

impl Kept {
    fn new() -> Self {
        let place = Place::new();
        let cache = EngineCache::new(place.cache(), &Engine::default());
        let component = Component::from_binary(&cache.engine, EMPTY).unwrap();
        cache.keep(&DIGEST, &component).unwrap();
        let file = place.path.join(Entry { component: DIGEST, engine: cache.id }.name());
        Self { place, cache, component, file }
    }

    fn is_found(&self) -> bool {
        self.cache.load(&DIGEST).is_some()
    }

    /// Whether what is in the file's place now is refused, removed, and replaced by the next
    /// compilation.
    fn is_refused_and_replaced(&self) -> bool {
        let refused = !self.is_found();
        let removed = fs::symlink_metadata(&self.file).is_err();
        self.cache.keep(&DIGEST, &self.component).unwrap();
        refused && removed && self.is_found()
    }
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// What somebody does to a file.
type Damage<'a> = &'a dyn Fn(&Path);

/// Sets back the time at which a file was last used.
fn age(path: &Path, by: Duration) {
    File::options().write(true).open(path).unwrap().set_modified(SystemTime::now() - by).unwrap();
}

#[test]
fn what_was_kept_is_found_by_the_next_start_and_by_nothing_else() {
    let kept = Kept::new();
    let next = EngineCache::new(kept.place.cache(), &Engine::default());
    let hit = next.load(&DIGEST).unwrap();
    assert_eq!(hit.component.serialize().unwrap(), kept.component.serialize().unwrap());
    assert_eq!(hit.size, kept.component.serialize().unwrap().len() as u64);
    assert!(next.load(&[8; 32]).is_none(), "of another component");

    let mut config = wasmtime::Config::new();
    config.epoch_interruption(true);
    let other = EngineCache::new(kept.place.cache(), &Engine::new(&config).unwrap());
    assert!(other.load(&DIGEST).is_none(), "for another engine");
    assert!(matches!(other.keep(&DIGEST, &kept.component), Err(CacheError::Engine)));
    assert!(kept.is_found());
}

#[test]
fn an_engine_has_the_same_id_in_every_process() {
    let id = |epochs| {
        let mut config = wasmtime::Config::new();
        config.epoch_interruption(epochs);
        EngineId::of(&Engine::new(&config).unwrap())
    };
    assert_eq!(id(true), id(true));
    assert_ne!(id(true), id(false));
    // What a tool that hashes the same bytes would say.
    let mut hasher = entry::Stable::new();
    ("ab", 1_u8).hash(&mut hasher);
    assert_eq!(hasher.id()[..], digest::digest(&digest::SHA256, b"ab\xff\x01").as_ref()[..16]);
}

#[test]
fn the_folder_and_all_in_it_are_the_owners_alone() {
    let kept = Kept::new();
    assert_eq!((mode(&kept.place.path), mode(kept.place.path.parent().unwrap())), (0o700, 0o700));
    assert_eq!((mode(&kept.file), mode(&kept.place.path.join("key"))), (0o600, 0o600));
    assert_eq!(kept.place.names().len(), 2, "nothing else is left behind");
}

#[test]
fn a_folder_that_others_could_have_written_to_is_refused() {
    for open in [0o770, 0o707, 0o750, 0o705, 0o701] {
        let place = Place::new();
        place.cache();
        chmod(&place.path, open);
        let refused = place.refused();
        assert!(matches!(refused, CacheError::Open { mode, .. } if mode == open), "{refused}");
        assert!(refused.to_string().contains(&format!("{open:04o}")), "{refused}");
    }
}

#[test]
fn a_folder_of_somebody_else_is_refused() {
    let place = Place::new();
    let path = if rustix::process::geteuid().is_root() {
        place.cache();
        std::os::unix::fs::chown(&place.path, Some(1), None).unwrap();
        place.path.as_path()
    } else {
        Path::new("/")
    };
    assert!(matches!(CodeCache::open(path), Err(CacheError::Owner { .. })));
}

#[test]
fn what_is_no_folder_is_refused_and_named() {
    let place = Place::new();
    place.cache();
    let elsewhere = place.path.with_file_name("elsewhere");
    fs::rename(&place.path, &elsewhere).unwrap();
    symlink(&elsewhere, &place.path).unwrap();
    assert!(place.refused().to_string().contains("a symbolic link"), "though it leads to a good one");
    fs::remove_dir_all(&elsewhere).unwrap();
    assert!(place.refused().to_string().contains("a symbolic link"), "and where it leads nowhere");
    fs::remove_file(&place.path).unwrap();
    fs::write(&place.path, "").unwrap();
    assert!(place.refused().to_string().contains("a file"));
}

#[test]
fn a_key_that_is_not_ours_is_refused_and_stays() {
    let damage: [(&str, Damage<'_>); 5] = [
        ("0 bytes", &|key| fs::write(key, "").unwrap()),
        ("31 bytes", &|key| fs::write(key, [1; 31]).unwrap()),
        ("too long", &|key| fs::write(key, [1; 33]).unwrap()),
        ("open to others", &|key| chmod(key, 0o640)),
        ("symbolic link", &|key| {
            fs::rename(key, key.with_file_name("other")).unwrap();
            symlink("other", key).unwrap();
        }),
    ];
    for (why, damage) in damage {
        let place = Place::new();
        place.cache();
        damage(&place.path.join("key"));
        let refused = place.refused().to_string();
        assert!(refused.contains(why), "{why}: {refused}");
        assert_eq!(place.refused().to_string(), refused, "it is not put right behind the owner's back");
    }
}

#[test]
fn code_of_another_key_is_refused_and_replaced() {
    let (kept, other) = (Kept::new(), Kept::new());
    fs::copy(&other.file, &kept.file).unwrap();
    assert!(kept.is_refused_and_replaced());
}

#[test]
fn code_of_another_component_or_engine_is_refused_under_a_false_name() {
    let kept = Kept::new();
    let file = |component, engine| kept.place.path.join(Entry { component, engine }.name());
    let other = [9; 32];
    fs::rename(&kept.file, file(other, kept.cache.id)).unwrap();
    assert!(kept.cache.load(&other).is_none());
    assert!(!file(other, kept.cache.id).exists());

    let mut config = wasmtime::Config::new();
    config.epoch_interruption(true);
    let engine = EngineCache::new(kept.place.cache(), &Engine::new(&config).unwrap());
    kept.cache.keep(&DIGEST, &kept.component).unwrap();
    fs::rename(&kept.file, file(DIGEST, engine.id)).unwrap();
    assert!(engine.load(&DIGEST).is_none());
}

#[test]
fn genuine_code_that_the_engine_refuses_is_removed() {
    let kept = Kept::new();
    let entry = Entry { component: DIGEST, engine: kept.cache.id };
    let code = b"no machine code at all";
    let key = &kept.place.cache().0.key.header(&entry, code);
    fs::write(&kept.file, [&key[..], code].concat()).unwrap();
    assert!(kept.is_refused_and_replaced());
}

#[test]
fn a_file_that_was_changed_cut_or_lengthened_is_refused_and_replaced() {
    let kept = Kept::new();
    let whole = fs::read(&kept.file).unwrap();
    let mut changed: Vec<Vec<u8>> = [0, 8, 1 << 10, whole.len() - 1]
        .into_iter()
        .map(|length| whole[..length].to_vec())
        .chain([[&whole[..], &[0]].concat(), b"\x7fELF".to_vec(), whole[entry::HEADER..].to_vec()])
        .collect();
    for at in [0, 15, 16, 47, 48, 60, whole.len() / 2, whole.len() - 1] {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        changed.push(flipped);
    }
    for bytes in changed {
        fs::write(&kept.file, &bytes).unwrap();
        assert!(kept.is_refused_and_replaced(), "{} of {} bytes", bytes.len(), whole.len());
    }
}

#[test]
fn what_stands_in_the_place_of_a_file_is_never_followed_waited_for_or_read() {
    let kept = Kept::new();
    let genuine = kept.place.path.join("genuine");
    let damage: [(&str, &dyn Fn()); 5] = [
        ("a link to genuine code", &|| {
            fs::copy(&kept.file, &genuine).unwrap();
            fs::remove_file(&kept.file).unwrap();
            symlink(&genuine, &kept.file).unwrap();
        }),
        ("a pipe that nobody writes to", &|| {
            fs::remove_file(&kept.file).unwrap();
            assert!(Command::new("mkfifo").arg("-m600").arg(&kept.file).status().unwrap().success());
        }),
        ("an empty folder", &|| {
            fs::remove_file(&kept.file).unwrap();
            fs::create_dir(&kept.file).unwrap();
        }),
        ("genuine code that others may write", &|| chmod(&kept.file, 0o622)),
        ("a file without end", &|| {
            File::options().write(true).open(&kept.file).unwrap().set_len(MAX_FILE + 1).unwrap()
        }),
    ];
    for (what, damage) in damage {
        damage();
        assert!(kept.is_refused_and_replaced(), "{what}");
    }
}

#[test]
fn what_cannot_be_removed_costs_the_cache_and_not_the_load() {
    let kept = Kept::new();
    fs::remove_file(&kept.file).unwrap();
    fs::create_dir_all(kept.file.join("full")).unwrap();
    assert!(!kept.is_found());
    let failed = kept.cache.keep(&DIGEST, &kept.component).unwrap_err();
    assert!(matches!(failed, CacheError::Write { .. }), "{failed}");
    assert!(kept.file.join("full").exists());
}

#[test]
fn a_folder_that_is_gone_costs_the_cache_and_not_the_load() {
    let kept = Kept::new();
    fs::remove_dir_all(&kept.place.path).unwrap();
    assert!(!kept.is_found());
    let failed = kept.cache.keep(&DIGEST, &kept.component).unwrap_err();
    assert!(matches!(failed, CacheError::Write { .. }), "{failed}");
    // Another folder that has taken its path since is not looked at.
    let other = Kept::new();
    fs::rename(&other.place.path, &kept.place.path).unwrap();
    assert!(!kept.is_found());
}

#[test]
fn a_file_is_never_written_again() {
    let kept = Kept::new();
    let before = fs::metadata(&kept.file).unwrap();
    kept.cache.keep(&DIGEST, &kept.component).unwrap();
    kept.cache.cache.0.folder.publish("key", &[&[0; 32]]).unwrap();
    assert_eq!(fs::metadata(&kept.file).unwrap().ino(), before.ino());
    assert!(EngineCache::new(kept.place.cache(), &kept.cache.engine).load(&DIGEST).is_some(), "nor is the key");
}

#[test]
fn what_a_crash_left_half_written_is_swept_up_later_and_not_while_it_is_written() {
    let kept = Kept::new();
    let [young, old, ahead, foreign] =
        [".new-1", ".new-2", ".new-3", "notes.txt"].map(|name| kept.place.path.join(name));
    for path in [&young, &old, &ahead, &foreign] {
        fs::write(path, "half").unwrap();
    }
    for path in [&old, &foreign, &kept.file] {
        age(path, Duration::from_secs(3_700));
    }
    File::options()
        .write(true)
        .open(&ahead)
        .unwrap()
        .set_modified(SystemTime::now() + Duration::from_secs(86_400))
        .unwrap();
    let cache = kept.place.cache();
    assert!(young.exists() && foreign.exists() && kept.file.exists());
    assert!(!old.exists() && !ahead.exists());
    cache.sweep(seconds(SystemTime::now()) + 3_700);
    assert!(!young.exists() && foreign.exists() && kept.file.exists());
}

#[test]
fn what_was_not_used_for_longest_makes_room() {
    let kept = Kept::new();
    let size = fs::metadata(&kept.file).unwrap().len();
    let cache = EngineCache::new(CodeCache::with_limit(&kept.place.path, 3 * size).unwrap(), &kept.cache.engine);
    let file = |digest| kept.place.path.join(Entry { component: digest, engine: kept.cache.id }.name());
    let foreign = kept.place.path.join("notes.txt");
    fs::write(&foreign, vec![0; size as usize]).unwrap();
    for (digest, hours) in [([1; 32], 3), ([2; 32], 2)] {
        cache.keep(&digest, &kept.component).unwrap();
        age(&file(digest), Duration::from_secs(hours * 3_600));
    }
    age(&kept.file, Duration::from_secs(4 * 3_600));
    assert!(kept.is_found(), "it is used again, which makes it the youngest");
    cache.keep(&[3; 32], &kept.component).unwrap();
    let left = [DIGEST, [1; 32], [2; 32], [3; 32]].map(|digest| file(digest).exists());
    assert_eq!(left, [true, false, true, true]);
    assert!(foreign.exists(), "what is not ours is not counted and not removed");
}

#[test]
fn many_that_start_at_once_share_one_key_and_one_file() {
    let place = Place::new();
    let engine = Engine::default();
    let component = Component::from_binary(&engine, EMPTY).unwrap();
    std::thread::scope(|scope| {
        let start = || {
            let cache = EngineCache::new(place.cache(), &engine);
            for _ in 0..4 {
                // Found or not, as the others have come; never refused, which would remove it.
                let _ = cache.load(&DIGEST);
                cache.keep(&DIGEST, &component).unwrap();
                assert!(cache.load(&DIGEST).is_some());
            }
        };
        for _ in 0..8 {
            scope.spawn(start);
        }
    });
    assert_eq!(place.names().len(), 2, "{:?}", place.names());
}

#[test]
fn only_names_of_ours_are_ours() {
    let name = Entry { component: DIGEST, engine: EngineId([0xef; 16]) }.name();
    assert!(Entry::is_name(&name), "{name}");
    for other in ["key", ".new-00", &name.to_uppercase(), &name[1..], &name.replace(".code", ".cwasm"), ""] {
        assert!(!Entry::is_name(other), "{other}");
    }
}

proptest! {
    #[test]
    fn no_byte_of_a_file_can_be_another(
        code in prop::collection::vec(any::<u8>(), 0..512),
        at in any::<prop::sample::Index>(),
        by in 1..=u8::MAX,
    ) {
        let entry = Entry { component: DIGEST, engine: EngineId([1; 16]) };
        let key = Key::new(&[5; 32]);
        let mut file = key.header(&entry, &code).to_vec();
        file.extend_from_slice(&code);
        prop_assert!(key.verify(&entry, file.clone()).is_some_and(|verified| verified.code() == code));
        let at = at.index(file.len());
        file[at] ^= by;
        prop_assert!(key.verify(&entry, file).is_none());
    }

    #[test]
    fn no_file_fits_another_key_component_engine_or_length(
        code in prop::collection::vec(any::<u8>(), 0..512),
        which in 0..32_usize,
        cut in any::<prop::sample::Index>(),
    ) {
        let entry = Entry { component: DIGEST, engine: EngineId([1; 16]) };
        let keys = [Key::new(&[5; 32]), Key::new(&[6; 32])];
        let mut file = keys[0].header(&entry, &code).to_vec();
        file.extend_from_slice(&code);
        let (mut component, mut engine) = (entry, entry);
        component.component[which] ^= 1;
        engine.engine.0[which / 2] ^= 1;
        prop_assert!(keys[1].verify(&entry, file.clone()).is_none());
        prop_assert!(keys[0].verify(&component, file.clone()).is_none());
        prop_assert!(keys[0].verify(&engine, file.clone()).is_none());
        let length = cut.index(file.len());
        prop_assert!(keys[0].verify(&entry, file[..length].to_vec()).is_none());
        file.push(0);
        prop_assert!(keys[0].verify(&entry, file).is_none());
    }
}
