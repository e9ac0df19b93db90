#!/usr/bin/env bash
# Installs the programs that `cargo measure peers` compares Rolecall with, and lists them in a file for it.
#
#   tests/measure-peers.sh           installs what is missing: a few minutes for the first run
#
# They go to the folder rolecall-tests/peers of the user's caches, or to peers in ROLECALL_TEST_CACHE. Python packages come from
# PyPI, the AWS CLI 2 from Debian, aws-vault and aws-iam-authenticator from the Go module proxy, all in pinned versions. granted
# and kcc-cache are used if they are on PATH. The file is programs.tsv: name, path and version, or the reason why there is none.
set -u -o pipefail
cd "$(dirname "$0")/.." || exit 1

# shellcheck source=tests/peers/install.sh
. tests/peers/install.sh

main() {
  local folder=${ROLECALL_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/rolecall-tests}/peers
  [[ $folder = /* ]] || folder=$PWD/$folder
  readonly log=$folder/install.log
  mkdir -p "$folder/bin" || exit 1
  echo "Installing into $folder; the first run takes a few minutes."
  : >"$log"
  : >"$folder/programs.new"
  list kubectl 'not on PATH, and its package cannot be installed' find_kubectl "$folder"
  list aws-cli-1 'pip cannot install it' find_aws_cli_1 "$folder"
  list aws-cli-2 'not on PATH, and its Debian package cannot be installed' find_aws_cli_2 "$folder"
  list aws-iam-authenticator 'go cannot build it' build_aws_iam_authenticator "$folder"
  list aws-vault 'go cannot build it' find_aws_vault "$folder"
  list granted 'not on PATH' find_on_path granted
  list kcc-cache 'not on PATH' find_on_path kcc-cache
  rm -rf "$log.home"
  mv "$folder/programs.new" "$folder/programs.tsv" && column -t -s $'\t' "$folder/programs.tsv"
}

# Appends a line for a program: list NAME REASON FUNCTION ARGUMENT…. The function prints the path and the version.
list() {
  local name=$1 reason=$2 found
  if found=$("${@:3}" 2>>"$log") && [ -n "$found" ]; then
    printf '%s\t%s\n' "$name" "$found" >>"$folder/programs.new"
  else
    printf '%s\t-\tmissing: %s\n' "$name" "$reason" >>"$folder/programs.new"
  fi
}

# The kubectl of the Google Cloud SDK asks the server for its version and then runs another kubectl.
find_kubectl() {
  local path
  path=$(type -P kubectl) && ! kubectl_version "$path" | grep -q dispatcher ||
    { own_python "$1" && path=$(packaged_kubectl "$1/python"); } || return 1
  with_version "$path" "$(kubectl_version "$path")"
}

kubectl_version() { "$1" version --client 2>/dev/null | sed -n 's/^Client Version: //p'; }

own_python() { install_python "$1/python" awscli "$(grep '^awscli==' tests/peers/requirements.txt)"; }

find_aws_cli_1() { own_python "$1" && with_version "$1/python/bin/aws" "$("$1/python/bin/aws" --version | first_word)"; }

find_aws_cli_2() {
  local path
  path=$(aws_cli_2_on_path || packaged_aws_cli_2 "$1") || return 1
  with_version "$path" "$("$path" --version | first_word)"
}

# In the version that the tests of the part cluster use.
build_aws_iam_authenticator() {
  local module=sigs.k8s.io/aws-iam-authenticator
  go_build tests/cluster/go "$1/bin/aws-iam-authenticator" $module/cmd/aws-iam-authenticator $module
}

find_aws_vault() {
  local module=github.com/99designs/aws-vault/v7
  find_on_path aws-vault || go_build tests/peers/go "$1/bin/aws-vault" $module $module
}

# go_build FOLDER PROGRAM PACKAGE MODULE: builds a package with the modules of the folder.
go_build() {
  (cd "$1" && CGO_ENABLED=0 GOFLAGS= GOWORK=off go build -trimpath -buildvcs=false -ldflags "-s -w" -o "$2" "$3") >&2 || return 1
  with_version "$2" "$(module_version "$2" "$4")"
}

module_version() { go version -m "$1" 2>/dev/null | awk -v module="$2" '($1 == "mod" || $1 == "dep") && $2 == module { print $3 }'; }

# A program of PATH, with its version: as Go has recorded it, or as the program prints it. Some create files in their home folder.
find_on_path() {
  local path version
  path=$(type -P "$1") || return 1
  version=$(go version -m "$path" 2>/dev/null | awk '$1 == "mod" { print $3 }' | grep -vF '(devel)')
  version=${version:-$(HOME=$log.home XDG_CONFIG_HOME='' XDG_CACHE_HOME='' "$path" --version 2>&1 </dev/null |
    grep -oE '[0-9]+(\.[0-9]+)+' | head -n 1)}
  with_version "$path" "$version"
}

with_version() { printf '%s\t%s\n' "$1" "${2:-version unknown}"; }

first_word() { cut -d ' ' -f 1; }

main "$@"
