#!/usr/bin/env bash
# Runs the conformance kit, `exoclaw plugin test`, on wordcount in every language. `guests/build.sh` builds them.
#
# Compiled code is kept in a folder of its own, so that a second run takes seconds.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
export EXOCLAW_HOME=${EXOCLAW_HOME:-$target/guests-lang/home}
mkdir -p "$EXOCLAW_HOME"
for language in rust c javascript python; do
    printf '\n-- %s\n' "$language"
    cargo run --quiet -p exoclaw -- plugin test "$target/guests-lang/wordcount-$language.wasm"
done
