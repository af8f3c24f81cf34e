#!/bin/sh
# Installs mcp-tether of this release for the user who runs it: downloads the archive for this computer, compares its checksum with the
# one below, and copies the program to a folder.
#
#   sh install.sh [--to FOLDER]     FOLDER is $HOME/.local/bin unless named
#
# MCP_TETHER_DOWNLOAD_URL: where the archives are, in place of the release on GitHub.
set -eu

version='@VERSION@'
url=${MCP_TETHER_DOWNLOAD_URL:-'@REPOSITORY@'/releases/download/v$version}
sums='@SHA256SUMS@'

fail() {
  printf 'install.sh: %s\n' "$1" >&2
  exit 1
}

find_target() {
  processor=$(uname -m)
  case $processor in
    x86_64 | amd64) processor=x86_64 loader=/lib64/ld-linux-x86-64.so.2 ;;
    aarch64 | arm64) processor=aarch64 loader=/lib/ld-linux-aarch64.so.1 ;;
    *) fail "there is no program for the processor $processor: build it with cargo install mcp-tether" ;;
  esac
  case $(uname -s) in
    Linux) if [ -x "$loader" ]; then system=unknown-linux-gnu; else system=unknown-linux-musl; fi ;;
    Darwin) system=apple-darwin ;;
    *) fail "there is no archive for $(uname -s): on Windows, use npm, uv or the zip file of the release" ;;
  esac
  # Under Rosetta, uname says x86_64 on a Mac with an ARM processor.
  if [ "$system" = apple-darwin ] && [ "$(sysctl -n hw.optional.arm64 2>/dev/null || true)" = 1 ]; then
    processor=aarch64
  fi
  printf '%s-%s\n' "$processor" "$system"
}

download() {
  if command -v curl >/dev/null 2>&1; then
    curl --fail --silent --show-error --location --output "$2" "$1"
  elif command -v wget >/dev/null 2>&1; then
    wget -q -O "$2" "$1"
  else
    fail 'neither curl nor wget is there'
  fi
}

sha256() {
  if command -v sha256sum >/dev/null 2>&1; then
    sha256sum <"$1"
  elif command -v shasum >/dev/null 2>&1; then
    shasum -a 256 <"$1"
  elif command -v openssl >/dev/null 2>&1; then
    openssl dgst -sha256 -r <"$1"
  else
    fail 'neither sha256sum nor shasum nor openssl is there: the checksum cannot be compared'
  fi | cut -c 1-64
}

# A function, so that a script of which only a part arrived does nothing.
main() {
  folder=${HOME:?is not set}/.local/bin
  while [ $# -gt 0 ]; do
    case $1 in
      --to)
        [ $# -ge 2 ] || fail '--to wants a folder'
        folder=$2
        shift 2
        ;;
      *) fail "unknown argument $1; the only one is --to FOLDER" ;;
    esac
  done
  target=$(find_target)
  stem=mcp-tether-$version-$target
  expected=$(printf '%s\n' "$sums" | sed -n "s/  $stem\.tar\.gz\$//p")
  [ -n "$expected" ] || fail "this release has no archive for $target"

  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  trap 'exit 1' HUP INT TERM
  download "$url/$stem.tar.gz" "$scratch/archive" || fail "$url/$stem.tar.gz cannot be downloaded"
  found=$(sha256 "$scratch/archive")
  [ "$found" = "$expected" ] ||
    fail "the checksum of $stem.tar.gz is $found and not $expected: nothing was installed"
  tar -xzf "$scratch/archive" -C "$scratch" "$stem/mcp-tether"
  "$scratch/$stem/mcp-tether" --version >/dev/null || fail 'the program does not start on this computer: nothing was installed'

  mkdir -p "$folder"
  # Renamed into place: a program that runs keeps its file.
  cp "$scratch/$stem/mcp-tether" "$folder/.mcp-tether.new"
  chmod 755 "$folder/.mcp-tether.new"
  mv -f "$folder/.mcp-tether.new" "$folder/mcp-tether"
  folder=$(cd "$folder" && pwd)
  printf 'Installed mcp-tether %s as %s\n' "$version" "$folder/mcp-tether"
  case :${PATH:-}: in
    *":$folder:"*) printf '%s is on PATH.\n' "$folder" ;;
    *) printf '%s is not on PATH: write the whole path into the configuration of a client, or add the folder to PATH.\n' "$folder" ;;
  esac
}

main "$@"
