#!/bin/sh
# Builds Rolecall from this checkout and installs it for one user. install.sh --help explains it.

set -eu
umask 022

help() {
    cat <<'EOF'
Builds Rolecall from this checkout and installs it for your user.

Usage: install/install.sh [OPTIONS]

Options:
  --prefix DIR   Where to install [default: ~/.local]
  --service      Enable the service: systemd or launchd starts the daemon
  --no-service   Do not install files for systemd or launchd
  -h, --help     Print this help

Installs the programs into DIR/bin, man pages and completions into DIR/share, and service files into your configuration
folder. Without --service the service is not enabled, and the client starts the daemon when it needs it.
A second run updates changed files and restarts a running daemon. install/uninstall.sh removes everything.

Needs cargo (https://rustup.rs) and a C compiler.
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
    --service) wants_service=yes ;;
    --no-service) wants_no_service=yes ;;
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
case $prefix in
*[\"\'\\\$%\&\|\<\>\`]* | *'
'*) fail 2 "the folder's name must not contain quotes, line breaks or any of \\ \$ % & | < > \`: $prefix" ;;
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

has cargo || fail 1 'cargo is not on PATH; install it from https://rustup.rs'
if [ $service = enabled ] && [ "$system" != Darwin ] && ! systemd_runs; then
    fail 1 'systemd --user does not run here; omit --service, and the client starts the daemon when it needs it'
fi

work=$(mktemp -d)
pending= # the temporary file of put()
trap 'rm -rf "$work" ${pending:+"$pending"}' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# --- build ------------------------------------------------------------------------------------------------------------

cd "$root"
target=$(cargo metadata --locked --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
[ -n "$target" ] || fail 1 'cargo metadata names no target folder'
host=$(rustc -vV | sed -n 's/^host: //p')
[ -n "$host" ] || fail 1 'rustc -vV names no host'

# kubectl starts the client for each token, and a static program starts faster. It needs libc.a.
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

if has_static_libc; then
    say building 'rolecall, the client (static)'
    # --target keeps the flags away from build scripts and macros.
    RUSTFLAGS="${RUSTFLAGS:+$RUSTFLAGS }$(cat install/client.rustflags)" \
        cargo build --locked --profile client --target "$host" -p rolecall
    client=$target/$host/client/rolecall
else
    say building 'rolecall, the client'
    cargo build --locked --profile client -p rolecall
    client=$target/client/rolecall
fi
say building 'rolecalld, the daemon (takes some minutes the first time)'
cargo build --locked --release -p rolecalld
daemon=$target/release/rolecalld
for program in "$client" "$daemon"; do
    "$program" --version >/dev/null || fail 1 "the new program does not run: $program"
done

# --- install ----------------------------------------------------------------------------------------------------------

changed=no

# record PATH: adds it to the manifest, before the file exists.
record() {
    grep -qxF -- "$1" "$manifest" 2>/dev/null || printf '%s\n' "$1" >>"$manifest"
}

# folder DIR: creates it and its missing parents.
folder() {
    [ ! -d "$1" ] || return 0
    folder "${1%/*}"
    mkdir "$1"
    record "$1/"
}

# put FILE PATH MODE: installs by rename, so that no reader sees a partial file and a running program keeps its own.
put() {
    [ ! -d "$2" ] || fail 1 "$2 is a folder; remove or rename it"
    folder "${2%/*}"
    record "$2"
    if [ ! -L "$2" ] && cmp -s "$1" "$2" && [ -n "$(find "$2" -prune -perm "$3")" ]; then
        say unchanged "$2"
        return
    fi
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
    record "$2"
    if [ "$(readlink "$2" 2>/dev/null)" = "$1" ]; then
        say unchanged "$2"
        return
    fi
    pending=${2%/*}/.rolecall.$$
    ln -s "$1" "$pending"
    mv -f "$pending" "$2"
    pending=
    changed=yes
    say installed "$2"
}

# The manifest's own folders can be recorded only after they exist.
missing=
folder_of_manifest=${manifest%/*}
while [ ! -d "$folder_of_manifest" ]; do
    missing="$folder_of_manifest/
$missing"
    folder_of_manifest=${folder_of_manifest%/*}
    [ -n "$folder_of_manifest" ] || break
done
mkdir -p "${manifest%/*}"
printf '%s' "$missing" | while IFS= read -r made; do record "$made"; done
record "$manifest"

# The daemon first: a client of this version may have to start it at any time.
put "$daemon" "$bin/rolecalld" 755
put "$client" "$bin/rolecall" 755
# kubectl runs it for: kubectl rolecall
link rolecall "$bin/kubectl-rolecall"
programs_changed=$changed
for page in install/man/*.[15]; do
    put "$page" "$share/man/man${page##*.}/${page##*/}" 644
done

# completion SHELL PATH
completion() {
    "$client" completions "$1" >"$work/completion"
    put "$work/completion" "$2" 644
}
if "$client" completions --help >/dev/null 2>&1; then
    completion bash "$share/bash-completion/completions/rolecall"
    completion zsh "$share/zsh/site-functions/_rolecall"
    completion fish "$share/fish/vendor_completions.d/rolecall.fish"
else
    say skipped 'completions: this client prints none'
fi

# --- service ----------------------------------------------------------------------------------------------------------

if [ $service = none ]; then
    say skipped "the service files (--no-service)"
elif [ "$system" = Darwin ]; then
    sed "s|/usr/local/bin/rolecalld|$bin/rolecalld|" install/launchd/rolecalld.plist >"$work/plist"
    put "$work/plist" "$agents/$label.plist" 644
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

socket_is_systemds() { has systemctl && systemctl --user --quiet is-active rolecalld.socket 2>/dev/null; }
daemon_runs() {
    if socket_is_systemds; then
        systemctl --user --quiet is-active rolecalld.service
    else
        "$bin/rolecall" agent status >/dev/null 2>&1
    fi
}

if [ $service = enabled ]; then
    if [ "$system" = Darwin ]; then
        if launchctl print "gui/$(id -u)/$label" >/dev/null 2>&1; then
            say unchanged 'the agent is loaded in launchd'
        else
            "$bin/rolecall" agent stop >/dev/null 2>&1 || true
            launchctl bootstrap "gui/$(id -u)" "$agents/$label.plist"
            say enabled "$label in launchd; start it with: launchctl kickstart gui/$(id -u)/$label"
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
case :$PATH: in
*":$bin:"*)
    found=$(command -v rolecall || true)
    [ "$found" = "$bin/rolecall" ] || warn "PATH finds another rolecall first: $found"
    ;;
*) warn "$bin is not on your PATH. Add to your shell's start-up file: export PATH=\"$bin:\$PATH\"" ;;
esac
if [ $service = files ] && ! socket_is_systemds; then
    echo 'The client starts the daemon when it needs it. To let the service manager start it instead, run:'
    echo "  $enable"
fi
cat <<'EOF'
Add your first cluster:
  rolecall add prod --region eu-west-1 --aws-profile work \
      --role-arn arn:aws:iam::111122223333:role/developers
  kubectl --context prod get pods
EOF
