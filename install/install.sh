#!/bin/sh
# Builds Rolecall from this checkout, or takes it from a tarball, and installs it for one user. install.sh --help explains it.

set -eu
umask 022

help() {
    cat <<'EOF'
Builds Rolecall from this checkout and installs it for your user. In an unpacked release tarball, it installs the programs
of the tarball and builds nothing.

Usage: install/install.sh [OPTIONS]

Options:
  --prefix DIR    Where to install [default: ~/.local]
  --from TARBALL  Install the release in this file. If a file SHA256SUMS is beside it, it must name the file's checksum
  --service       Enable the service: systemd or launchd starts the daemon
  --no-service    Do not install files for systemd or launchd
  --dry-run       Print what would be built and installed, and change nothing
  -h, --help      Print this help

Installs the programs into DIR/bin, man pages and completions into DIR/share, and service files into your configuration
folder. Without --service the service is not enabled, and the client starts the daemon when it needs it.
A second run updates changed files and restarts a running daemon. install/uninstall.sh removes everything.

A build needs cargo (https://rustup.rs), a C compiler and 2 GB of free disk. It takes about ten minutes on two cores.
EOF
}

say() { printf '%-10s %s\n' "$1" "$2"; }
warn() { printf '%-10s %s\n' '!' "$1" >&2; }
fail() {
    printf 'install.sh: %s\n' "$2" >&2
    exit "$1"
}
has() { command -v "$1" >/dev/null 2>&1; }

# --- options ----------------------------------------------------------------------------------------------------------

prefix=
from=
dry_run=no
service=files # none, files, enabled
wants_service=no
wants_no_service=no
while [ $# -gt 0 ]; do
    case $1 in
    --prefix)
        [ $# -ge 2 ] || fail 2 '--prefix needs a folder'
        prefix=$2
        shift
        ;;
    --prefix=*) prefix=${1#*=} ;;
    --from)
        [ $# -ge 2 ] || fail 2 '--from needs a file'
        from=$2
        shift
        ;;
    --from=*) from=${1#*=} ;;
    --service) wants_service=yes ;;
    --no-service) wants_no_service=yes ;;
    --dry-run) dry_run=yes ;;
    -h | --help)
        help
        exit
        ;;
    *) fail 2 "unknown option $1; see install/install.sh --help" ;;
    esac
    shift
done
case $wants_service-$wants_no_service in
yes-yes) fail 2 '--service and --no-service exclude each other' ;;
yes-no) service=enabled ;;
no-yes) service=none ;;
esac

[ -n "${HOME:-}" ] || fail 1 'HOME is not set'
: "${prefix:=$HOME/.local}"
case $prefix in
/*) ;;
*) prefix=$PWD/$prefix ;;
esac
prefix=${prefix%/}
# systemd and launchd would each need their own quoting for these characters.
case $prefix$HOME in
*[\"\'\\\$%\&\|\<\>\`]* | *'
'*) fail 2 "the folders must not contain quotes, line breaks or any of \\ \$ % & | < > \`: $prefix, $HOME" ;;
esac
if [ "$(id -u)" = 0 ] && [ -n "${SUDO_UID:-}" ] && [ $service != none ]; then
    fail 2 'with sudo the service would belong to root; run it as your own user, or add --no-service'
fi

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
system=$(uname -s)
bin=$prefix/bin
share=$prefix/share
manifest=$share/rolecall/installed # lists every installed path for uninstall.sh; folders end in a slash
units=${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user
agents=$HOME/Library/LaunchAgents
label=rolecalld

systemd_runs() { has systemctl && systemctl --user show-environment >/dev/null 2>&1; }

if [ $service = enabled ] && [ "$system" != Darwin ] && ! systemd_runs; then
    fail 1 'systemd --user does not run here; omit --service, and the client starts the daemon when it needs it'
fi

work=$(mktemp -d)
pending= # the temporary file of put()
trap 'rm -rf "$work" ${pending:+"$pending"}' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# --- tarball ----------------------------------------------------------------------------------------------------------

# The tarball has its own install.sh, which knows its files.
if [ -n "$from" ]; then
    [ -f "$from" ] || fail 1 "there is no file $from"
    name=${from##*/}
    case $from in */*) sums=${from%/*}/SHA256SUMS ;; *) sums=SHA256SUMS ;; esac
    if [ -f "$sums" ]; then
        expected=$(awk -v name="$name" '$2 == name || $2 == "*" name { print $1 }' "$sums")
        [ -n "$expected" ] || fail 1 "$sums has no checksum of $name"
        actual=$({ sha256sum "$from" 2>/dev/null || shasum -a 256 "$from"; } | cut -d ' ' -f 1)
        [ "$actual" = "$expected" ] || fail 1 "$from is damaged: its checksum is $actual, and $sums names $expected"
        say verified "$from against $sums"
    fi
    tar -xzf "$from" -C "$work" || fail 1 "cannot unpack $from"
    inner=$(find "$work" -mindepth 3 -maxdepth 3 -path '*/install/install.sh')
    [ -f "$inner" ] || fail 1 "$from is no release of Rolecall: it has no install/install.sh"
    set -- --prefix "$prefix"
    case $service in enabled) set -- "$@" --service ;; none) set -- "$@" --no-service ;; esac
    [ $dry_run = no ] || set -- "$@" --dry-run
    sh "$inner" "$@"
    exit
fi

# --- programs ---------------------------------------------------------------------------------------------------------

cd "$root"

# Errors before a build of ten minutes rather than during it.
check_build_tools() {
    has cargo && has rustc || fail 1 'cargo is not on PATH; install it from https://rustup.rs'
    needed=$(sed -n 's/^rust-version *= *"\([^"]*\)".*/\1/p' Cargo.toml)
    present=$(rustc -V | cut -d ' ' -f 2)
    [ "$(printf '%s\n%s\n' "$needed" "${present%%-*}" | sort -V | head -n 1)" = "$needed" ] ||
        fail 1 "Rust $present is too old; Rolecall needs $needed. Run: rustup update stable"
    has "${CC:-cc}" || fail 1 "there is no C compiler (${CC:-cc}); install gcc or clang"
    target=$(cargo metadata --locked --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
    [ -n "$target" ] || fail 1 'cargo metadata names no target folder'
    # A later build needs less, and replaces files.
    [ ! -x "$target/release/rolecalld" ] || return 0
    disk=$target
    while [ ! -d "$disk" ]; do disk=${disk%/*}; done
    free=$(df -Pk "$disk" | awk 'NR == 2 { print $4 }')
    [ "$free" -ge "$build_kilobytes" ] ||
        fail 1 "$disk has $((free / 1024)) MB free, and the build needs $((build_kilobytes / 1024)) MB; set CARGO_TARGET_DIR to another disk"
}
# 1.3 GB in the target folder and 0.3 GB of sources in CARGO_HOME, measured on Linux (x86-64, Rust 1.95); the rest is a reserve for the
# linker and for other versions.
readonly build_kilobytes=2097152

if [ ! -f Cargo.toml ]; then
    client=$root/bin/rolecall
    daemon=$root/bin/rolecalld
    [ -x "$client" ] && [ -x "$daemon" ] || fail 1 "$root is neither a checkout nor an unpacked release of Rolecall"
elif [ $dry_run = yes ]; then
    check_build_tools
    say 'to build' 'rolecall, the client, and rolecalld, the daemon'
    client=
    daemon=
else
    check_build_tools
    install/build.sh >"$work/programs"
    client=$(sed -n 1p "$work/programs")
    daemon=$(sed -n 2p "$work/programs")
fi
for program in "$client" "$daemon"; do
    [ -z "$program" ] || "$program" --version >/dev/null || fail 1 "the new program does not run here: $program"
done

# --- install ----------------------------------------------------------------------------------------------------------

changed=no

# record PATH: adds it to the manifest, before the file exists.
record() {
    [ $dry_run = no ] || return 0
    grep -qxF -- "$1" "$manifest" 2>/dev/null || printf '%s\n' "$1" >>"$manifest"
}

# folder DIR: creates it and its missing parents.
folder() {
    [ ! -d "$1" ] && [ $dry_run = no ] || return 0
    folder "${1%/*}"
    mkdir "$1"
    record "$1/"
}

# put FILE PATH MODE: installs by rename, so that no reader sees a partial file and a running program keeps its own.
put() {
    [ ! -d "$2" ] || fail 1 "$2 is a folder; remove or rename it"
    if [ ! -L "$2" ] && [ -f "$2" ] && cmp -s "${1:-/dev/null}" "$2" && [ -n "$(find "$2" -prune -perm "$3")" ]; then
        record "$2"
        say unchanged "$2"
        return
    fi
    if [ $dry_run = yes ]; then
        say 'to install' "$2"
        return
    fi
    folder "${2%/*}"
    record "$2"
    pending=${2%/*}/.rolecall.$$
    cp "$1" "$pending"
    chmod "$3" "$pending"
    mv -f "$pending" "$2"
    pending=
    changed=yes
    say installed "$2"
}

# link TARGET PATH: installs a symbolic link to a file of the same folder.
link() {
    [ ! -d "$2" ] || [ -L "$2" ] || fail 1 "$2 is a folder; remove or rename it"
    if [ "$(readlink "$2" 2>/dev/null)" = "$1" ]; then
        record "$2"
        say unchanged "$2"
        return
    fi
    if [ $dry_run = yes ]; then
        say 'to install' "$2"
        return
    fi
    record "$2"
    pending=${2%/*}/.rolecall.$$
    ln -s "$1" "$pending"
    mv -f "$pending" "$2"
    pending=
    changed=yes
    say installed "$2"
}

# Creates the folder of the manifest. Its folders can be recorded only after they exist.
create_manifest() {
    missing=
    made=${manifest%/*}
    while [ ! -d "$made" ]; do
        missing="$made/
$missing"
        made=${made%/*}
        [ -n "$made" ] || break
    done
    mkdir -p "${manifest%/*}"
    printf '%s' "$missing" | while IFS= read -r made; do record "$made"; done
    record "$manifest"
}
[ $dry_run = yes ] || create_manifest

# The daemon first: a client of this version may have to start it at any time.
put "$daemon" "$bin/rolecalld" 755
put "$client" "$bin/rolecall" 755
# kubectl runs it for: kubectl rolecall
link rolecall "$bin/kubectl-rolecall"
programs_changed=$changed
for page in install/man/*.[15]; do
    put "$page" "$share/man/man${page##*.}/${page##*/}" 644
done
put install/rolecall.schema.json "$share/rolecall/rolecall.schema.json" 644

# completion SHELL PATH
completion() {
    [ -z "$client" ] || "$client" completions "$1" >"$work/completion"
    put "$work/completion" "$2" 644
}
completion bash "$share/bash-completion/completions/rolecall"
completion zsh "$share/zsh/site-functions/_rolecall"
completion fish "$share/fish/vendor_completions.d/rolecall.fish"

# --- service ----------------------------------------------------------------------------------------------------------

if [ $service = none ]; then
    say skipped "the service files (--no-service)"
elif [ "$system" = Darwin ]; then
    changed=no
    sed -e "s|/usr/local/bin/rolecalld|$bin/rolecalld|" -e "s|<string>HOME/|<string>$HOME/|" \
        install/launchd/rolecalld.plist >"$work/plist"
    put "$work/plist" "$agents/$label.plist" 644
    plist_changed=$changed
    # The daemon rejects a socket in a folder that other users can enter.
    [ $dry_run = yes ] || (umask 077 && mkdir -p "$HOME/Library/Application Support/rolecall/run")
    enable="launchctl bootstrap gui/$(id -u) $agents/$label.plist"
elif has systemctl; then
    changed=no
    put install/systemd/rolecalld.socket "$units/rolecalld.socket" 644
    sed -e "s|^ExecStart=/usr/bin/rolecalld\$|ExecStart=\"$bin/rolecalld\"|" \
        -e "s|^ExecReload=/usr/bin/rolecall |ExecReload=\"$bin/rolecall\" |" install/systemd/rolecalld.service >"$work/unit"
    put "$work/unit" "$units/rolecalld.service" 644
    if [ $changed = yes ] && systemd_runs; then
        systemctl --user daemon-reload
        say reloaded 'systemd --user'
    fi
    enable='systemctl --user enable --now rolecalld.socket'
else
    service=none
    say skipped "the service files: systemd is not installed"
fi

if [ $dry_run = yes ]; then
    [ $service != enabled ] || say 'to enable' 'the service'
    echo 'This was a dry run: nothing was built or changed.'
    exit
fi

socket_is_systemds() { has systemctl && systemctl --user --quiet is-active rolecalld.socket 2>/dev/null; }
socket_is_launchds() { [ "$system" = Darwin ] && launchctl print "gui/$(id -u)/$label" >/dev/null 2>&1; }
daemon_runs() {
    if socket_is_systemds; then
        systemctl --user --quiet is-active rolecalld.service
    elif socket_is_launchds; then
        launchctl print "gui/$(id -u)/$label" | grep -q 'state = running'
    else
        "$bin/rolecall" agent status >/dev/null 2>&1
    fi
}

if [ $service = enabled ]; then
    if [ "$system" = Darwin ]; then
        if socket_is_launchds && [ "$plist_changed" = no ]; then
            say unchanged 'the agent is loaded in launchd'
        else
            # A daemon that the client started owns the socket's path, which launchd needs.
            launchctl bootout "gui/$(id -u)/$label" 2>/dev/null || "$bin/rolecall" agent stop >/dev/null 2>&1 || true
            # bootout returns before the daemon has ended; launchd kills it after ExitTimeOut.
            seconds=0
            while socket_is_launchds && [ $seconds -lt 15 ]; do
                sleep 1
                seconds=$((seconds + 1))
            done
            launchctl bootstrap "gui/$(id -u)" "$agents/$label.plist"
            say enabled "$label: launchd starts the daemon with the first call"
        fi
    elif socket_is_systemds && systemctl --user --quiet is-enabled rolecalld.socket; then
        say unchanged 'rolecalld.socket is enabled'
    else
        # A daemon that the client started owns the socket's path, which systemd needs.
        socket_is_systemds || "$bin/rolecall" agent stop >/dev/null 2>&1 || true
        systemctl --user --quiet enable --now rolecalld.socket
        say enabled 'rolecalld.socket: systemd starts the daemon with the first call'
    fi
fi

# --- next steps -------------------------------------------------------------------------------------------------------

echo
if [ $programs_changed = yes ] && daemon_runs; then
    # The restart keeps the sessions, and no call fails.
    if said=$("$bin/rolecall" agent restart 2>&1); then
        say upgraded "${said#* }"
    else
        warn "the old daemon still runs: ${said#* }"
    fi
fi
if [ $service = files ] && ! socket_is_systemds && ! socket_is_launchds; then
    echo 'The client starts the daemon when it needs it. To let the service manager start it instead, run:'
    echo "  $enable"
fi
command=rolecall
case :$PATH: in
*":$bin:"*)
    found=$(command -v rolecall || true)
    [ "$found" = "$bin/rolecall" ] || warn "PATH finds another rolecall first: $found"
    ;;
*)
    warn "$bin is not on your PATH. Add to your shell's start-up file: export PATH=\"$bin:\$PATH\""
    command=$bin/rolecall
    ;;
esac
kubeconfig=${KUBECONFIG:-$HOME/.kube/config}
if grep -qsE 'aws-iam-authenticator|get-token' "${kubeconfig%%:*}"; then
    echo "Next: $command import      (moves your EKS contexts in; with --dry-run it only shows how)"
elif grep -qsE 'command: .*rolecall' "${kubeconfig%%:*}"; then
    echo "Next: $command doctor      (checks your clusters)"
else
    echo "Next: $command add      (asks for your first cluster)"
fi
