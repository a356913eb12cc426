#!/usr/bin/env bash
# Puts MicroPython's unix port into .micropython/ for the tests of firmware/: `bin/micropython`, and `bin/micropython-i386`, whose
# objects have the sizes of a board's. Debian 12 has no package, so Debian 13's are fetched, checked and unpacked, never installed:
# apt runs in a folder of its own, and the programs through their own loader. First the files that micropython.sha256 names, with
# those hashes, as a mirror in the middle of an update has no lists that agree; where one is gone, what Debian 13 has now.
# Elsewhere a `micropython` on the PATH is taken.
set -euo pipefail
cd "$(dirname "$0")/.."
target=$PWD/.micropython
work=$target/work
[[ -x $target/bin/micropython && -x $target/bin/micropython-i386 ]] && exit 0
mkdir -p "$target/bin"

fail() {
    echo "error: no MicroPython (unix port 1.24 or newer) for the tests of firmware/: $1" >&2
    echo "next: install it (Debian 13: apt install micropython; macOS: brew install micropython), then run make again" >&2
    exit 1
}

if command -v micropython >/dev/null 2>&1 && [[ -z ${CI:-} ]]; then
    ln -sf "$(command -v micropython)" "$target/bin/micropython"
    exit 0  # the tests that need the 32-bit build say that it is missing
fi
command -v apt-get >/dev/null 2>&1 || fail "this system has no apt"
mirror=$(sed -nE 's#^URIs: *(\S+/debian/?) *$#\1#p; s#^deb (\[[^]]*\] )?(\S+/debian/?) .*#\2#p' \
    /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list 2>/dev/null | head -n 1 || true)
[[ -n $mirror ]] || fail "apt's sources name no Debian"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[[ -r $keyring ]] || fail "$keyring is missing"

rm -rf "$work"
mkdir -p "$work"/{sources,lists/partial,cache/archives/partial}
printf 'Types: deb\nURIs: %s\nSuites: trixie\nComponents: main\nSigned-By: %s\n' "$mirror" "$keyring" >"$work/sources/trixie.sources"
: >"$work/status"
apt=(apt-get -q -o Acquire::Retries=3 -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$work/sources" -o "Dir::State::lists=$work/lists"
    -o "Dir::Cache=$work/cache" -o "Dir::State::status=$work/status")
((EUID != 0)) || apt+=(-o APT::Sandbox::User=root)

fetch_pinned() {  # the files of micropython.sha256 for ARCH into $work/ARCH; false if the mirror has one of them no more
    local hash file helper=/usr/lib/apt/apt-helper
    [[ -x $helper ]] || return 1
    while read -r hash file; do
        [[ $file == *"_$1.deb" ]] || continue
        "$helper" "${apt[@]:2}" download-file "${mirror%/}/$file" "$work/$1/${file##*/}" "SHA256:$hash" >&2 || return 1
    done <scripts/micropython.sha256
}

fetch_newest() {  # what the lists of Debian 13 name for ARCH now; asked for five minutes, as a mirror's update takes some
    local name packages=() try
    for try in 1 2 3 4 5 6; do
        "${apt[@]}" -o "APT::Architectures::=$1" update >&2 && break
        ((try < 6)) || fail "its list of packages could not be fetched"
        sleep 60
    done
    for name in micropython libc6 libffi8 libmbedcrypto16 libmbedtls21 libmbedx509-7; do packages+=("$name:$1"); done
    rm -f "$work/$1"/*
    (cd "$work/$1" && "${apt[@]}" -o "APT::Architectures::=$1" download "${packages[@]}" >&2) || fail "its packages could not be fetched"
}

for arch in amd64 i386; do
    mkdir -p "$work/$arch"
    fetch_pinned "$arch" || fetch_newest "$arch"
    rm -rf "${target:?}/$arch"
    for package in "$work/$arch"/*.deb; do dpkg-deb -x "$package" "$target/$arch"; done
    loader=$(find "$target/$arch" -name 'ld-linux*.so.2' | sort | head -n 1)
    libraries=$(dirname "$(find "$target/$arch" -name 'libc.so.6' | head -n 1)")
    suffix=$([[ $arch == amd64 ]] || echo -i386)
    printf '#!/bin/sh\nexec "%s" --library-path "%s" "%s/usr/bin/micropython" "$@"\n' "$loader" "$libraries" "$target/$arch" \
        >"$target/bin/micropython$suffix"
    chmod +x "$target/bin/micropython$suffix"
    "$target/bin/micropython$suffix" -c 'import tls, asyncio' || fail "the build for $arch does not run here"
done
rm -rf "$work"
echo "micropython $("$target/bin/micropython" -c 'import sys; print("%d.%d.%d" % sys.implementation.version[:3])') for the tests of firmware/ ready (amd64, i386)" >&2
