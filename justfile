# Every recipe is one line over cargo or a script; `just` lists them.

_default:
    @just --list

# The gateway with a scripted model: no key needed.
demo:
    cargo run --release -- gateway --demo

# All tests.
test:
    cargo test --workspace

# One tool in Rust, JavaScript, Python and C, with their toolchains: `just guests`, or `just guests c`.
guests *LANGS:
    guests/build.sh {{LANGS}}

# The conformance checks, over every guest.
test-guests: guests
    EXOCLAW_REQUIRE_GUESTS=1 cargo test -p exoclaw --test conformance --test languages
    guests/test.sh

# The guests' own unit tests, natively.
test-guest-logic:
    cargo test --manifest-path guests/Cargo.toml --target-dir target/guests-native --locked -p exoclaw-chat -p exoclaw-guest -p exoclaw-guest-calculator -p exoclaw-guest-clock -p exoclaw-guest-discord -p exoclaw-guest-irc -p exoclaw-guest-slack -p exoclaw-guest-telegram -p exoclaw-guest-webhook -p exoclaw-guest-whatsapp -p exoclaw-guest-wordcount

# Format and lints, as CI has them.
lint:
    cargo fmt --all --check
    cargo fmt --manifest-path guests/Cargo.toml --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings

# Licences, duplicate versions, sources.
deny:
    cargo deny --locked check bans licenses sources

# All benches; docs/performance.md tells how to read them.
bench:
    cargo bench -p exoclaw

# Fuzz one target for a minute; fuzz/README.md lists them.
fuzz target:
    mkdir -p fuzz/corpus-found/{{target}} && cargo fuzz run -s none {{target}} fuzz/corpus-found/{{target}} fuzz/corpus/{{target}} -- -max_total_time=60 -timeout=10

# Every fuzz target over its corpus and many mutations of it, without a fuzzer.
fuzz-replay:
    EXOCLAW_FUZZ_TIMES=100 cargo test -p exoclaw --test fuzz

# Kill the gateway so often in the middle of its work, and look at what is left: `just crash 2000`.
crash times="200":
    EXOCLAW_CRASHES={{times}} cargo test -p exoclaw --test crash killed -- --nocapture

# Kill the gateway behind Telegram and Discord while people write so many messages: `just crash-channels 1000`; EXOCLAW_CRASH_SEED=N chooses the kills of an earlier run again, which printed its N.
crash-channels messages="1000":
    EXOCLAW_CHANNEL_MESSAGES={{messages}} cargo test -p exoclaw --test channels_crash -- --nocapture

# Instructions of a call under callgrind, held against what is recorded; `UPDATE=1` records.
instructions:
    cargo bench -p exoclaw --bench instructions

# What CI runs.
ci:
    .ci/run
