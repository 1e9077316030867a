#!/usr/bin/env bash
# Installs what builds the guests that are not written in Rust: guests/setup.sh [javascript|python|c]...
#
# Pinned by the lock files beside the guests, into EXOCLAW_TOOLS (~/.cache/exoclaw-tools by default);
# what is there already is left alone. Needs node and npm, and python3 with its module venv.
set -euo pipefail
cd "$(dirname "$0")/wordcount"

tools=${EXOCLAW_TOOLS:-$HOME/.cache/exoclaw-tools}
[ $# -gt 0 ] || set -- javascript python c

need() {
    command -v "$1" >/dev/null || { echo "guests/setup.sh: $2 needs $1, which is not installed" >&2; exit 1; }
}

# Whether what these files pin is what is installed; `installed` then says so. What is half there is not.
is_installed() { [ "$(cat "$tools/$1/.pinned" 2>/dev/null)" = "$(cat "${@:2}" | sha256sum)" ]; }
installed() { cat "${@:2}" | sha256sum >"$tools/$1/.pinned"; }

for language; do
    case $language in
    javascript)
        is_installed javascript javascript/package-lock.json && continue
        need node JavaScript
        need npm JavaScript
        mkdir -p "$tools/javascript"
        cp javascript/package.json javascript/package-lock.json "$tools/javascript"
        npm ci --prefix "$tools/javascript" --no-audit --no-fund --loglevel=error
        installed javascript javascript/package-lock.json
        ;;
    python | c)
        is_installed "$language" "$language/requirements.txt" && continue
        need python3 "$language"
        # Cleared: a pin that was dropped is not to linger.
        python3 -m venv --clear "$tools/$language"
        "$tools/$language/bin/pip" install --quiet --disable-pip-version-check -r "$language/requirements.txt"
        installed "$language" "$language/requirements.txt"
        ;;
    rust) ;;
    *)
        echo "guests/setup.sh: \`$language\` is none of javascript, python, c" >&2
        exit 2
        ;;
    esac
done
