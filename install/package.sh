#!/usr/bin/env bash
# Makes the packages of a release. package.sh --help explains it.
set -euo pipefail
umask 022
export LC_ALL=C TZ=UTC

help() {
  cat <<'TEXT'
Makes the packages of a release from this checkout.

Usage: install/package.sh [OPTIONS] [FORMAT…]

Formats, all by default:
  tar      rolecall-VERSION-ARCH-linux.tar.gz: programs, man pages, units, install.sh
  deb      Debian package (needs dpkg-dev)
  rpm      RPM package (needs rpmbuild)
  sbom     software bill of materials: CycloneDX 1.5, JSON
  recipes  Homebrew formula and AUR PKGBUILD for this version; with the source tarball that they build

Options:
  --output DIR      Where to write [default: target/packages]
  --programs DIR    Package DIR/rolecall and DIR/rolecalld. Without it, install/build.sh builds both
  --source-url URL  Where the source tarball will be published; for the recipes
  --homepage URL    The page of the project; for the recipes
  -h, --help        Print this help

SHA256SUMS lists the checksum of every file. Dates are those of SOURCE_DATE_EPOCH, by default of the last commit, so that the
same programs give the same bytes. The maintainer of the Debian package is DEBFULLNAME and DEBEMAIL, by default of git's
configuration.
TEXT
}

readonly formats=(tar deb rpm sbom recipes)

main() {
  cd "$(dirname "$0")/.." || exit 1
  local output=target/packages programs='' source_url='' homepage='' chosen=()
  while [ $# -gt 0 ]; do
    case $1 in
      --output) output=${2:?--output needs a folder}; shift ;;
      --programs) programs=${2:?--programs needs a folder}; shift ;;
      --source-url) source_url=${2:?--source-url needs a URL}; shift ;;
      --homepage) homepage=${2:?--homepage needs a URL}; shift ;;
      -h | --help) help; exit ;;
      -*) fail 2 "unknown option $1; see install/package.sh --help" ;;
      *) [[ " ${formats[*]} " = *" $1 "* ]] || fail 2 "unknown format $1; the formats are: ${formats[*]}"; chosen+=("$1") ;;
    esac
    shift
  done
  [ ${#chosen[@]} -gt 0 ] || chosen=("${formats[@]}")

  version=$(sed -n '/^\[workspace.package\]/,/^\[/ s/^version *= *"\(.*\)"/\1/p' Cargo.toml)
  [ -n "$version" ] || fail 1 'Cargo.toml names no version'
  machine=$(uname -m)
  SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(checkout log -1 --format=%ct)}
  export SOURCE_DATE_EPOCH
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  mkdir -p "$output" && output=$(cd "$output" && pwd)

  if [[ " ${chosen[*]} " =~ ' tar '|' deb '|' rpm ' ]]; then
    find_programs "$programs"
    third_party_licenses >"$work/THIRD-PARTY-LICENSES"
  fi
  local format
  for format in "${chosen[@]}"; do "make_$format"; done
  (cd "$output" && sha256sum -- *[!S] >SHA256SUMS.new && mv SHA256SUMS.new SHA256SUMS)
  echo "$output:"
  (cd "$output" && ls -sh1)
}

fail() {
  printf 'package.sh: %s\n' "$2" >&2
  exit "$1"
}

# git, in this checkout. In a container it may belong to another user.
checkout() { git -c safe.directory="$PWD" "$@"; }

# Puts stripped copies of both programs into $work.
find_programs() {
  local client daemon
  if [ -n "$1" ]; then
    client=$1/rolecall daemon=$1/rolecalld
  else
    { read -r client && read -r daemon; } < <(install/build.sh)
    local path
    for path in "$PWD/" "${CARGO_HOME:-$HOME/.cargo}/"; do
      ! grep -alF "$path" "$client" "$daemon" || fail 1 "a program contains the path $path of this computer"
    done
  fi
  [ -x "$client" ] && [ -x "$daemon" ] || fail 1 "there is no $client or no $daemon"
  [ "$("$client" --version)" = "rolecall $version" ] || fail 1 "$client is not version $version"
  strip -o "$work/rolecall" "$client"
  strip -o "$work/rolecalld" "$daemon"
}

# Prints the license texts of every crate in the programs, each text once.
third_party_licenses() {
  local name crate license file users registry=${CARGO_HOME:-$HOME/.cargo}/registry/src
  echo "Rolecall contains the following crates. Their license texts follow."
  echo
  crates | while read -r name crate license; do printf '%s %s: %s\n' "$name" "$crate" "$license"; done
  crates | while read -r name crate license; do
    for file in "$registry"/*/"$name-$crate"/{LICEN[SC]E,COPYING,NOTICE,COPYRIGHT}*; do
      [ ! -f "$file" ] || printf '%s\0' "$file"
    done
  done | xargs -0 sha256sum | sort -k1,1 -k2,2V | awk -v start=$((${#registry} + 1)) '
    { split(substr($2, start + 1), part, "/"); crate = part[2] }
    $1 != sum { if (sum) print users, file; sum = $1; users = crate; file = $2; next }
    { users = users "," crate }
    END { if (sum) print users, file }' | sort -k1,1 | while read -r users file; do
    printf '\n%s\n%s\n\n' '----------------------------------------------------------------' "${users//,/, }"
    cat "$file"
  done
}

# Prints the crates of both programs: name, version, license.
crates() {
  cargo tree --locked --package rolecall --package rolecalld --edges normal --prefix none --format '{p} {l}' |
    sed -n 's/ (\*)$//; s/^\([^ ]*\) v\([^ ]*\) \([^(].*\)$/\1 \2 \3/p' | sort -u
}

# stage FOLDER: creates the files of the Debian and the RPM package.
stage() {
  local page shell
  install -D -m 755 "$work/rolecall" "$1/usr/bin/rolecall"
  # Its user cannot read the program, so the kernel closes the process to debuggers from its first instruction on.
  install -D -m 711 "$work/rolecalld" "$1/usr/bin/rolecalld"
  ln -s rolecall "$1/usr/bin/kubectl-rolecall"
  install -D -m 644 -t "$1/usr/lib/systemd/user" install/systemd/rolecalld.{service,socket}
  install -D -m 644 install/systemd/strict.conf "$1/usr/share/doc/rolecall/examples/strict.conf"
  for page in install/man/*.[15]; do
    mkdir -p "$1/usr/share/man/man${page##*.}"
    gzip -9n <"$page" >"$1/usr/share/man/man${page##*.}/${page##*/}.gz"
  done
  install -D -m 644 install/rolecall.schema.json "$1/usr/share/rolecall/rolecall.schema.json"
  ln -s rolecall.1.gz "$1/usr/share/man/man1/kubectl-rolecall.1.gz"
  install -d "$1/usr/share/bash-completion/completions" "$1/usr/share/zsh/vendor-completions" "$1/usr/share/fish/vendor_completions.d"
  "$work/rolecall" completions bash >"$1/usr/share/bash-completion/completions/rolecall"
  "$work/rolecall" completions zsh >"$1/usr/share/zsh/vendor-completions/_rolecall"
  "$work/rolecall" completions fish >"$1/usr/share/fish/vendor_completions.d/rolecall.fish"
  install -m 644 README.md "$1/usr/share/doc/rolecall/README.md"
  gzip -9n <"$work/THIRD-PARTY-LICENSES" >"$1/usr/share/doc/rolecall/THIRD-PARTY-LICENSES.gz"
}

# dated FOLDER: gives every file the date of the release.
dated() { find "$1" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +; }

# archive FOLDER FILE: packs FOLDER, a child of $work.
archive() {
  tar --create --directory="$work" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" \
    --format=gnu "$1" | gzip -9n >"$2"
}

make_tar() {
  local folder=rolecall-$version-$machine-linux
  mkdir -p "$work/$folder/bin" "$work/$folder/install"
  install -m 755 "$work/rolecall" "$work/rolecalld" "$work/$folder/bin/"
  cp -R install/man install/guides install/systemd install/launchd install/rolecall.schema.json install/README.md \
    install/{,un}install.sh "$work/$folder/install/"
  cp README.md CHANGELOG.md LICENSE "$work/THIRD-PARTY-LICENSES" "$work/$folder/"
  archive "$folder" "$output/$folder.tar.gz"
}

make_deb() {
  local architecture root=$work/deb name email
  architecture=$(dpkg --print-architecture)
  name=${DEBFULLNAME:-$(git config user.name)} email=${DEBEMAIL:-$(git config user.email)}
  stage "$root"
  mkdir -p "$root/DEBIAN" "$root/usr/share/lintian/overrides"
  install -m 644 install/debian/copyright "$root/usr/share/doc/rolecall/copyright"
  install -m 644 install/debian/lintian-overrides "$root/usr/share/lintian/overrides/rolecall"
  install -m 755 install/debian/prerm "$root/DEBIAN/prerm"
  gzip -9n <CHANGELOG.md >"$root/usr/share/doc/rolecall/changelog.gz"
  printf 'rolecall (%s-1) unstable; urgency=medium\n\n  * Release %s. See changelog.gz.\n\n -- %s <%s>  %s\n' "$version" "$version" \
    "$name" "$email" "$(date --rfc-email --date="@$SOURCE_DATE_EPOCH")" |
    gzip -9n >"$root/usr/share/doc/rolecall/changelog.Debian.gz"
  # dpkg-shlibdeps reads debian/control of the current folder.
  mkdir -p "$work/shlibs/debian" && printf 'Source: rolecall\n\nPackage: rolecall\nArchitecture: any\n' >"$work/shlibs/debian/control"
  local depends
  depends=$(cd "$work/shlibs" && dpkg-shlibdeps -O "$root/usr/bin/rolecall" "$root/usr/bin/rolecalld" 2>/dev/null | sed -n 's/^shlibs:Depends=//p')
  sed -e "s/@VERSION@/$version-1/; s/@ARCHITECTURE@/$architecture/; s/@MAINTAINER@/$name <$email>/; s/@DEPENDS@/$depends/" \
    -e "s/@SIZE@/$(du -sk --apparent-size "$root/usr" | cut -f 1)/" install/debian/control >"$root/DEBIAN/control"
  (cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
  dated "$root"
  dpkg-deb --root-owner-group -Zxz --build "$root" "$output/rolecall_$version-1_$architecture.deb" >/dev/null
}

make_rpm() {
  stage "$work/rpm"
  # Fedora's folder for completions of packages.
  mv "$work/rpm/usr/share/zsh/vendor-completions" "$work/rpm/usr/share/zsh/site-functions"
  cp LICENSE "$work/rpm/usr/share/doc/rolecall/"
  dated "$work/rpm"
  rpmbuild -bb --quiet --buildroot="$work/rpm-root" --define "_topdir $work/rpm-top" --define "_rpmdir $output" \
    --define '_rpmfilename %%{name}-%%{version}-%%{release}.%%{arch}.rpm' --define "tree $work/rpm" --define "release_version $version" \
    --define '_buildhost reproducible' --define 'use_source_date_epoch_as_buildtime 1' --define 'clamp_mtime_to_source_date_epoch 1' \
    --define '_build_id_links none' --define '_binary_payload w9.zstdio' \
    --target "$machine" install/rpm/rolecall.spec
}

# From cargo tree: cargo metadata unites the features of all packages of the workspace, and names crates that are not in the programs.
make_sbom() {
  local program
  for program in rolecall rolecalld; do
    cargo tree --locked --package "$program" --edges normal --prefix depth --format '|{p}|{l}' |
      awk -v date="$(date --utc --date="@$SOURCE_DATE_EPOCH" +%FT%TZ)" -f install/sbom.awk Cargo.lock - \
        >"$output/$program-$version.cdx.json"
  done
}

# The source tarball, and the recipes that build it.
make_recipes() {
  local folder=rolecall-$version sum
  local archive=$output/$folder.tar.gz
  checkout archive --format=tar --prefix="$folder/" HEAD | gzip -9n >"$archive"
  sum=$(sha256sum "$archive" | cut -d ' ' -f 1)
  local recipe
  for recipe in homebrew/rolecall.rb aur/PKGBUILD; do
    sed -e "s|@VERSION@|$version|; s|@SHA256@|$sum|; s|@URL@|${source_url:-file://$archive}|" \
      -e "s|@HOMEPAGE@|${homepage:-file://$output}|" "install/$recipe" \
      >"$output/${recipe##*/}"
  done
}

main "$@"
