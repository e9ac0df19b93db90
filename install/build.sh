#!/bin/sh
# Builds the programs as they are shipped, and prints two lines: the path of rolecall, and the path of rolecalld.
#
# Usage: install/build.sh [client|daemon]      (both without an argument)
#
# The client is a static program where the C library allows it: kubectl starts it for each token, and a static program
# starts a third faster. The daemon is dynamic, so that it resolves names as the system does.

set -eu

say() { printf '%-10s %s\n' "$1" "$2" >&2; }
fail() {
    printf 'build.sh: %s\n' "$1" >&2
    exit 1
}

case ${1-both} in both | client | daemon) ;; *) fail "unknown program $1; choose client or daemon" ;; esac
[ $# -le 1 ] || fail 'at most one argument: client or daemon'

cd "$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)"
cargo=${CARGO:-cargo}
target=$("$cargo" metadata --locked --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
[ -n "$target" ] || fail 'cargo metadata names no target folder'
host=$(rustc -vV | sed -n 's/^host: //p')
[ -n "$host" ] || fail 'rustc -vV names no host'

has_static_libc() {
    case $host in
    *-linux-gnu*) ;;
    *) return 1 ;;
    esac
    case $("${CC:-cc}" -print-file-name=libc.a 2>/dev/null) in
    /*) ;;
    *)
        say note 'libc.a is missing (Fedora: glibc-static): the client is built as a dynamic program, which starts more slowly'
        return 1
        ;;
    esac
}

build_client() {
    if has_static_libc; then
        say building 'rolecall, the client (static)'
        # --target keeps the flag away from build scripts and macros.
        RUSTFLAGS="${RUSTFLAGS:+$RUSTFLAGS }-C target-feature=+crt-static" \
            "$cargo" build --locked --profile client --target "$host" -p rolecall
        echo "$target/$host/client/rolecall"
    else
        say building 'rolecall, the client'
        "$cargo" build --locked --profile client -p rolecall
        echo "$target/client/rolecall"
    fi
}

build_daemon() {
    say building 'rolecalld, the daemon (takes some minutes the first time)'
    "$cargo" build --locked --release -p rolecalld
    echo "$target/release/rolecalld"
}

case ${1-both} in both | client) build_client ;; esac
case ${1-both} in both | daemon) build_daemon ;; esac
