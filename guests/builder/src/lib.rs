//! Builds guests for the build scripts of the bundles: a Cargo inside a Cargo, which must inherit
//! nothing that was meant for the outer one.

use std::env;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

/// What guests are built for.
const TARGET: &str = "wasm32-wasip2";

/// The shadow stack of a guest. Rust's default of 1 MiB would put the data behind it beyond the
/// pages that a pool keeps warm, and each first touch costs a page fault: a quarter of a call.
const STACK_BYTES: u32 = 128 << 10;

/// Of the environment, what would change or break the inner build. `CARGO_TARGET_DIR` would make
/// it wait for the lock that the outer build holds; a `CARGO_BUILD_TARGET` would move its output.
const OUTER_ONLY: &[&str] = &["CARGO_TARGET_DIR", "RUSTFLAGS", "RUSTDOCFLAGS", "RUSTC_BOOTSTRAP"];

/// The same, by how their names begin: Cargo's config keys as variables, for every `[build]` and
/// `[profile]` key and for the target itself; and what Cargo tells one build script alone.
const OUTER_ONLY_PREFIXES: &[&str] = &[
    "CARGO_BUILD_",
    "CARGO_PROFILE_",
    "CARGO_TARGET_WASM32_WASIP2_",
    "CARGO_UNSTABLE_",
    "CARGO_CFG_",
    "CARGO_FEATURE_",
    "CARGO_PKG_",
    "DEP_",
];

/// Why the guests could not be built.
#[derive(Debug)]
pub enum BuildError {
    /// A variable that Cargo gives to build scripts is missing.
    NoBuildScript(&'static str),
    /// The toolchain has no standard library for the guests' target.
    NoTarget,
    /// A program did not start.
    Spawn(&'static str, io::Error),
    /// The inner Cargo failed; what it wrote to standard error went to ours.
    Failed(String),
    /// A file could not be read or written.
    File(PathBuf, io::Error),
}

impl std::fmt::Display for BuildError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoBuildScript(name) => write!(f, "{name} is not set: guests are built by build scripts only"),
            Self::NoTarget => {
                write!(
                    f,
                    "plugins are built for {TARGET}, which this toolchain lacks: run `rustup target add {TARGET}`"
                )
            }
            Self::Spawn(program, error) => write!(f, "{program} did not start: {error}"),
            Self::Failed(packages) => write!(f, "the guests ({packages}) did not build; the errors stand above"),
            Self::File(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for BuildError {}

/// Builds `guests`, packages `exoclaw-guest-NAME` of the workspace at `workspace` (relative to the
/// calling package), and writes `guests.rs` to `OUT_DIR`: an expression of type `&[Guest]`.
///
/// # Errors
/// See [`BuildError`]. Call it from a build script.
pub fn bundle(workspace: &str, guests: &[&str]) -> Result<(), BuildError> {
    let out = PathBuf::from(variable("OUT_DIR")?);
    let package = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let workspace = package.join(workspace);
    let workspace = fs::canonicalize(&workspace).map_err(|error| BuildError::File(workspace, error))?;

    watch(&workspace, guests);
    require_target()?;
    let target_dir = target_dir(&out);
    build(&workspace, &target_dir, guests)?;

    let built = target_dir.join(TARGET).join("release");
    list(&out, "guests.rs", &built, guests)
}

/// Runs `program`, a native one of the workspace at `workspace`, which makes components and prints
/// their names, and writes `attacks.rs` to `OUT_DIR`: an expression of type `&[Guest]`.
///
/// # Errors
/// See [`BuildError`]. Call it from a build script.
pub fn make(workspace: &str, program: &str, sources: &str) -> Result<(), BuildError> {
    let out = PathBuf::from(variable("OUT_DIR")?);
    let package = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let workspace = package.join(workspace);
    let workspace = fs::canonicalize(&workspace).map_err(|error| BuildError::File(workspace, error))?;

    watch(&workspace, &[sources]);
    let made = out.join("made");
    fs::create_dir_all(&made).map_err(|error| BuildError::File(made.clone(), error))?;
    let mut command = inner_cargo(&workspace)?;
    command.args(["run", "--quiet", "--locked", "--package", program, "--target-dir"]).arg(target_dir(&out)).arg("--");
    let output = command
        .arg(&made)
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|error| BuildError::Spawn("cargo", error))?;
    if !output.status.success() {
        return Err(BuildError::Failed(program.to_owned()));
    }
    let names = String::from_utf8_lossy(&output.stdout);
    let names: Vec<_> = names.lines().collect();
    list(&out, "attacks.rs", &made, &names)
}

/// Writes `file` to `out`: an expression of type `&[Guest]`, of the components in `built`.
fn list(out: &Path, file: &str, built: &Path, names: &[&str]) -> Result<(), BuildError> {
    let mut source = String::from("&[\n");
    for guest in names {
        let built = built.join(format!("{guest}.wasm"));
        let bytes = fs::read(&built).map_err(|error| BuildError::File(built, error))?;
        let digest: [u8; 32] = Sha256::digest(&bytes).into();
        // Copied: the next build of another profile or bundle replaces what lies in the target directory.
        let kept = out.join(format!("{guest}.wasm"));
        fs::write(&kept, &bytes).map_err(|error| BuildError::File(kept, error))?;
        let _ = writeln!(
            source,
            "    Guest {{ name: {guest:?}, bytes: include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{guest}.wasm\")), sha256: {digest:?} }},"
        );
    }
    source.push(']');
    let path = out.join(file);
    fs::write(&path, source).map_err(|error| BuildError::File(path, error))
}

/// Says to Cargo what a new build depends on.
fn watch(workspace: &Path, guests: &[&str]) {
    let shared = ["Cargo.toml", "Cargo.lock", "../wit", "../rust-toolchain.toml"];
    for path in shared.iter().chain(guests) {
        println!("cargo::rerun-if-changed={}", workspace.join(path).display());
    }
}

fn require_target() -> Result<(), BuildError> {
    let output = Command::new(variable("RUSTC")?)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .map_err(|error| BuildError::Spawn("rustc", error))?;
    let libraries = String::from_utf8_lossy(&output.stdout);
    if output.status.success() && Path::new(libraries.trim()).is_dir() { Ok(()) } else { Err(BuildError::NoTarget) }
}

/// A directory of the guests' own beside the outer build's profiles, so that bundles and profiles
/// share their dependencies: `target/guests` for `target/debug/build/PACKAGE/out`.
fn target_dir(out: &Path) -> PathBuf {
    let build = out.ancestors().find(|directory| directory.file_name().is_some_and(|name| name == "build"));
    match build.and_then(Path::parent).and_then(Path::parent) {
        Some(target) => target.join("guests"),
        None => out.join("guests"),
    }
}

/// Cargo, without what was meant for the outer one.
fn inner_cargo(workspace: &Path) -> Result<Command, BuildError> {
    let mut command = Command::new(variable("CARGO")?);
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if OUTER_ONLY.contains(&&*text) || OUTER_ONLY_PREFIXES.iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    command
        .current_dir(workspace)
        // Empty rather than removed: so set, they also keep out what a Cargo config file says.
        .env("RUSTC_WRAPPER", "")
        .env("RUSTC_WORKSPACE_WRAPPER", "");
    Ok(command)
}

fn build(workspace: &Path, target_dir: &Path, guests: &[&str]) -> Result<(), BuildError> {
    let mut command = inner_cargo(workspace)?;
    command
        .args(["build", "--release", "--locked", "--target", TARGET, "--target-dir"])
        .arg(target_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", rustflags(workspace));
    for guest in guests {
        command.args(["--package", &format!("exoclaw-guest-{guest}")]);
    }
    let status = command.status().map_err(|error| BuildError::Spawn("cargo", error))?;
    if status.success() { Ok(()) } else { Err(BuildError::Failed(guests.join(", "))) }
}

/// The guests' flags, encoded as Cargo takes them. The paths of this machine stay out of them, so
/// that a guest has the same digest wherever it was built.
fn rustflags(workspace: &Path) -> OsString {
    let mut flags = OsString::from(format!("-Clink-arg=-zstack-size={STACK_BYTES}"));
    let mut remap = |from: &Path, to: &str| {
        flags.push("\u{1f}--remap-path-prefix=");
        flags.push(from);
        flags.push("=");
        flags.push(to);
    };
    remap(workspace, "/guests");
    let home = env::var_os("HOME").or_else(|| env::var_os("USERPROFILE")).map(PathBuf::from);
    if let Some(cargo) = env::var_os("CARGO_HOME").map(PathBuf::from).or(home.map(|home| home.join(".cargo"))) {
        remap(&cargo, "/cargo");
    }
    flags
}

fn variable(name: &'static str) -> Result<OsString, BuildError> {
    env::var_os(name).ok_or(BuildError::NoBuildScript(name))
}
