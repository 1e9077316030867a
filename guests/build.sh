#!/usr/bin/env bash
# Builds wordcount, into target/guests-lang/wordcount-LANG.wasm: guests/build.sh [rust|javascript|python|c]...
#
# Installs what it needs first (setup.sh). What has not changed is not built again: JavaScript and
# Python start their interpreters at build time, which takes half a minute each.
set -euo pipefail
cd "$(dirname "$0")/.."

tools=${EXOCLAW_TOOLS:-$HOME/.cache/exoclaw-tools}
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
out=$target/guests-lang
mkdir -p "$out"
[ $# -gt 0 ] || set -- rust javascript python c

# In a folder of its own, with the flags and the target directory of guests/builder, so that what
# one has compiled serves the other.
rust() {
    local separator=$'\x1f' flags="-Clink-arg=-zstack-size=131072"
    flags+="$separator--remap-path-prefix=$PWD/guests=/guests"
    flags+="$separator--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
    (
        cd guests
        env -u RUSTFLAGS CARGO_ENCODED_RUSTFLAGS="$flags" RUSTC_WRAPPER= RUSTC_WORKSPACE_WRAPPER= \
            cargo build --quiet --release --locked --target wasm32-wasip2 --target-dir "$target/guests" \
            --package exoclaw-guest-wordcount
    )
    cp "$target/guests/wasm32-wasip2/release/wordcount.wasm" "$1"
}

javascript() {
    # Where node looks for packages: in a folder beside the program.
    ln -sfn "$tools/javascript/node_modules" guests/wordcount/javascript/node_modules
    node guests/wordcount/javascript/build.mjs "$1"
    # As an author would build it who has read nothing: with fetch, which needs a grant.
    EXOCLAW_DEFAULT_FEATURES=1 node guests/wordcount/javascript/build.mjs "$out/javascript-with-fetch.wasm"
}

python() {
    # In a folder of its own: the compiler takes all that lies beside the module with it.
    (
        cd guests/wordcount/python
        PYTHONDONTWRITEBYTECODE=1 "$tools/python/bin/componentize-py" --quiet --wit-path ../../../wit \
            --world tool-plugin componentize app --output "$1"
    )
}

c() {
    local bindings=$target/guests-lang/c
    env -u RUSTFLAGS cargo run --quiet --locked --manifest-path guests/Cargo.toml \
        --target-dir "$target/guests-native" --package exoclaw-c-bindings -- wit tool-plugin "$bindings"
    (
        cd guests/wordcount/c
        "$tools/c/bin/python" -m ziglang cc --target=wasm32-wasi -mexec-model=reactor -std=c17 -Oz -Wall -Wextra \
            -Werror -Wl,--strip-all -Wl,-z,stack-size=65536 -I"$bindings" -o "$bindings/wordcount.core.wasm" \
            wordcount.c json.c "$bindings/tool_plugin.c" "$bindings/tool_plugin_component_type.o"
    )
    "$tools/c/bin/wasm-tools" component new "$bindings/wordcount.core.wasm" --output "$1"
}

for language; do
    case $language in
    rust | javascript | python | c) ;;
    *)
        echo "guests/build.sh: \`$language\` is none of rust, javascript, python, c" >&2
        exit 2
        ;;
    esac
    file=$out/wordcount-$language.wasm
    if [ "$language" = rust ]; then
        # Cargo knows by itself what has changed.
        rust "$file"
        continue
    fi
    inputs=$(find guests/build.sh guests/c-bindings "guests/wordcount/$language" wit -type f -print0 |
        LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum)
    if [ -f "$file" ] && [ "$(cat "$file.inputs" 2>/dev/null)" = "$inputs" ]; then
        continue
    fi
    guests/setup.sh "$language"
    echo "guests/build.sh: building wordcount in $language"
    rm -f "$file"
    "$language" "$file"
    echo "$inputs" >"$file.inputs"
done
