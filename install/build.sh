#!/bin/sh
# Builds the programs as they are shipped, and prints two lines: the path of rolecall, and the path of rolecalld.
#
# Usage: install/build.sh [client|daemon]      (both without an argument)
#
# The client is a static program where the C library allows it, with the flags of client.rustflags: kubectl starts it for
# each token, and such a program starts faster. The daemon is dynamic, so that it resolves names as the system does.
#
# The programs contain no path of this computer: the same source, compiler and C compiler give the same bytes in every folder.

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

# flags FLAG…: prints RUSTFLAGS and these flags in the form of CARGO_ENCODED_RUSTFLAGS, whose flags may contain spaces.
flags() {
    # shellcheck disable=SC2086 # RUSTFLAGS is a list
    set -- ${RUSTFLAGS-} "$@" \
        "--remap-path-prefix=$PWD=/rolecall" "--remap-path-prefix=$target=/target" \
        "--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}/registry/src=/registry"
    printf '%s' "$1"
    shift
    [ $# -eq 0 ] || printf '\037%s' "$@"
}

build_client() {
    if has_static_libc; then
        say building 'rolecall, the client (static)'
        # --target keeps the flags away from build scripts and macros.
        # shellcheck disable=SC2046 # a list
        CARGO_ENCODED_RUSTFLAGS=$(flags $(cat install/client.rustflags)) \
            "$cargo" build --locked --profile client --target "$host" -p rolecall
        echo "$target/$host/client/rolecall"
    else
        say building 'rolecall, the client'
        CARGO_ENCODED_RUSTFLAGS=$(flags) "$cargo" build --locked --profile client -p rolecall
        echo "$target/client/rolecall"
    fi
}

build_daemon() {
    say building 'rolecalld, the daemon (takes some minutes the first time)'
    CARGO_ENCODED_RUSTFLAGS=$(flags) "$cargo" build --locked --release -p rolecalld
    echo "$target/release/rolecalld"
}

case ${1-both} in both | client) build_client ;; esac
case ${1-both} in both | daemon) build_daemon ;; esac
