#!/bin/sh
# Removes the files that install.sh installed. uninstall.sh --help explains it.

set -eu

help() {
    cat <<'EOF'
Removes the files that install/install.sh installed, and no others.

Usage: install/uninstall.sh [OPTIONS]

Options:
  --prefix DIR   Where Rolecall is installed [default: ~/.local]
  -h, --help     Print this help

Stops the daemon. Your configuration (~/.config/rolecall) and your kubeconfig
stay unchanged. Contexts that run rolecall do not work without it, so first:
  rolecall import --undo    restores the contexts that an import converted
  rolecall remove NAME...   removes the others; rolecall list shows the names
EOF
}

say() { printf '%-10s %s\n' "$1" "$2"; }
fail() {
    printf 'uninstall.sh: %s\n' "$2" >&2
    exit "$1"
}
has() { command -v "$1" >/dev/null 2>&1; }

prefix=
while [ $# -gt 0 ]; do
    case $1 in
    --prefix)
        [ $# -ge 2 ] || fail 2 '--prefix needs a folder'
        prefix=$2
        shift
        ;;
    --prefix=*) prefix=${1#*=} ;;
    -h | --help)
        help
        exit
        ;;
    *) fail 2 "unknown option $1; see install/uninstall.sh --help" ;;
    esac
    shift
done

[ -n "${HOME:-}" ] || fail 1 'HOME is not set'
: "${prefix:=$HOME/.local}"
case $prefix in
/*) ;;
*) prefix=$PWD/$prefix ;;
esac
prefix=${prefix%/}

manifest=$prefix/share/rolecall/installed
if [ ! -f "$manifest" ]; then
    echo "Nothing to remove: install.sh has not installed into $prefix."
    exit
fi

# --- stop -------------------------------------------------------------------------------------------------------------

# The service manager first, because it would start the daemon again.
unit=$(grep '/rolecalld\.socket$' "$manifest" || true)
if [ -n "$unit" ]; then
    if has systemctl && systemctl --user show-environment >/dev/null 2>&1; then
        systemctl --user --quiet disable --now rolecalld.socket 2>/dev/null || true
        systemctl --user --quiet stop rolecalld.service 2>/dev/null || true
        say stopped 'rolecalld.socket and rolecalld.service'
    fi
    # If systemd does not run, the link that enables the socket still exists.
    link=${unit%/*}/sockets.target.wants/rolecalld.socket
    if [ -L "$link" ]; then
        rm -f "$link"
        say removed "$link"
    fi
fi
if grep -q '/rolecalld\.plist$' "$manifest" && has launchctl; then
    if launchctl bootout "gui/$(id -u)/rolecalld" 2>/dev/null; then say stopped 'the agent in launchd'; fi
fi
if [ -x "$prefix/bin/rolecall" ]; then
    runs=no
    if "$prefix/bin/rolecall" agent status >/dev/null 2>&1; then runs=yes; fi
    if "$prefix/bin/rolecall" agent stop >/dev/null; then
        [ $runs = no ] || say stopped 'the daemon'
    else
        say note 'the daemon did not stop; see the message above'
    fi
fi

# --- remove -----------------------------------------------------------------------------------------------------------

grep '^/.*[^/]$' "$manifest" | while IFS= read -r path; do
    if [ "$path" != "$manifest" ] && { [ -f "$path" ] || [ -L "$path" ]; }; then
        rm -f "$path"
        say removed "$path"
    fi
done

# Folders that install.sh created are removed if they are empty, the inner ones first.
folders=$(grep '^/.*/$' "$manifest" | sort -r || true)
rm -f "$manifest"
printf '%s\n' "$folders" | while IFS= read -r path; do
    [ -z "$path" ] || rmdir "$path" 2>/dev/null || true
done

if [ -n "$unit" ] && has systemctl; then
    systemctl --user daemon-reload 2>/dev/null || true
fi

cat <<'EOF'

These stay unchanged: your configuration (~/.config/rolecall), the daemon's log
and lock (~/.local/state/rolecall), your kubeconfig, access keys in the keyring,
and AWS's own files.
EOF
kubeconfig=${KUBECONFIG:-$HOME/.kube/config}
if grep -qsE 'command: .*rolecall' "${kubeconfig%%:*}"; then
    cat <<EOF
! ${kubeconfig%%:*} still has contexts that run rolecall.
To restore or remove them, install it again and run:
  rolecall import --undo; rolecall remove NAME...
or delete them with kubectl:
  kubectl config delete-context NAME
  kubectl config delete-user rolecall-NAME
  kubectl config delete-cluster rolecall-NAME
EOF
fi
