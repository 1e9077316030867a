#!/usr/bin/env bash
# Builds wordcount, into target/guests-lang/wordcount-LANG.wasm: guests/build.sh [rust|javascript|python|c]...
# `templates` builds what `exoclaw plugin new` writes, into template-LANG-KIND.wasm there.
#
# Installs what it needs first (setup.sh). What has not changed is not built again: JavaScript and
# Python start their interpreters at build time, which takes half a minute each.
set -euo pipefail
cd "$(dirname "$0")/.."

root=$PWD
tools=${EXOCLAW_TOOLS:-$HOME/.cache/exoclaw-tools}
mkdir -p "${CARGO_TARGET_DIR:-target}/guests-lang"
target=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)
out=$target/guests-lang
[ $# -gt 0 ] || set -- rust javascript python c templates

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
    # Where node looks for packages: in a folder beside the program. One that somebody installed there stays.
    local modules=guests/wordcount/javascript/node_modules
    if [ -L $modules ] || [ ! -e $modules ]; then ln -sfn "$tools/javascript/node_modules" $modules; fi
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

# What `wit-bindgen c --world tool-plugin` writes.
c_bindings() {
    env -u RUSTFLAGS cargo run --quiet --locked --manifest-path guests/Cargo.toml \
        --target-dir "$target/guests-native" --package exoclaw-c-bindings -- wit tool-plugin "$1"
}

# A component of C files in a folder: OUT FOLDER FILE...
c_component() {
    local component=$1 folder=$2 bindings=$out/c
    shift 2
    c_bindings "$bindings"
    (
        cd "$folder"
        "$tools/c/bin/python" -m ziglang cc --target=wasm32-wasi -mexec-model=reactor -std=c17 -Oz -Wall -Wextra \
            -Werror -Wl,--strip-all -Wl,-z,stack-size=65536 -I"$bindings" -o "$bindings/core.wasm" \
            "$@" "$bindings/tool_plugin.c" "$bindings/tool_plugin_component_type.o"
    )
    "$tools/c/bin/wasm-tools" component new "$bindings/core.wasm" --output "$component"
}

c() {
    c_component "$1" guests/wordcount/c wordcount.c json.c
}

# Every project, built as its README says, with the tools that are installed already.
templates() {
    local work kind lang
    guests/setup.sh javascript python c
    # The binary, as the tests have it built: by itself it would be built with other features of its dependencies.
    cargo test --quiet --locked --package exoclaw --test languages --no-run
    # Outside of the repository its rust-toolchain.toml does not hold.
    if command -v rustup >/dev/null; then
        export RUSTUP_TOOLCHAIN=${RUSTUP_TOOLCHAIN:-$(rustup show active-toolchain | cut -d' ' -f1)}
    fi
    work=$(mktemp -d)
    for kind in tool channel; do
        for lang in rust js python; do
            mkdir -p "$work/$lang"
            (cd "$work/$lang" && "$target/debug/exoclaw" plugin new "my-$kind" --kind "$kind" --lang "$lang" >/dev/null)
        done
        (
            cd "$work/rust/my-$kind"
            cp "$root/guests/Cargo.lock" .
            env -u RUSTFLAGS cargo build --quiet --release --target-dir "$target/guests"
            cp "$target/guests/wasm32-wasip2/release/plugin.wasm" "$out/template-rust-$kind.wasm"
        )
        (
            cd "$work/js/my-$kind"
            ln -s "$tools/javascript/node_modules" node_modules
            npm run --silent build
            cp plugin.wasm "$out/template-js-$kind.wasm"
        )
        (
            cd "$work/python/my-$kind"
            "$tools/python/bin/componentize-py" --quiet --wit-path wit --world "$kind-plugin" \
                componentize --python-path src plugin --output "$out/template-python-$kind.wasm"
        )
    done
    (cd "$work" && "$target/debug/exoclaw" plugin new my-tool --lang c >/dev/null)
    c_component "$out/template-c-tool.wasm" "$work/my-tool" plugin.c json.c
    rm -r "$work"
    touch "$1"
}

for language; do
    folders=(guests/build.sh wit)
    case $language in
    rust) ;;
    javascript | python) folders+=("guests/wordcount/$language") ;;
    c) folders+=(guests/wordcount/c guests/c-bindings) ;;
    templates) folders+=(host/templates host/src/cli/new.rs guests/sdk/src guests/wordcount/javascript/package-lock.json guests/wordcount/c guests/c-bindings) ;;
    *)
        echo "guests/build.sh: \`$language\` is none of rust, javascript, python, c, templates" >&2
        exit 2
        ;;
    esac
    file=$out/wordcount-$language.wasm
    [ "$language" != templates ] || file=$out/templates
    if [ "$language" = rust ]; then
        # Cargo knows by itself what has changed.
        rust "$file"
        continue
    fi
    inputs=$(find "${folders[@]}" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum)
    if [ -f "$file" ] && [ "$(cat "$file.inputs" 2>/dev/null)" = "$inputs" ]; then
        continue
    fi
    [ "$language" = templates ] || guests/setup.sh "$language"
    echo "guests/build.sh: building $language"
    rm -f "$file"
    "$language" "$file"
    echo "$inputs" >"$file.inputs"
done
