#!/usr/bin/env bash
# Sees to the system packages that the tests need beside Python: binaryen makes programs that sleep event-driven, clang and lld
# are the second compiler that the tests compare with, bubblewrap shuts compilers off from the machine, flite and espeak-ng speak for them,
# mosquitto is the MQTT broker that programs on virtual boards connect to, PostgreSQL the database that many hosts share, chromium opens the page. Installs what is missing where it may, else says what to install.
set -euo pipefail
missing=()
PATH=$PATH:/usr/sbin:/usr/local/sbin  # where a broker is, and an ordinary account does not look
for tool in wasm-opt:binaryen clang:clang wasm-ld:lld bwrap:bubblewrap flite:flite espeak-ng:espeak-ng mosquitto:mosquitto pg_ctlcluster:postgresql chromium:chromium; do
    command -v "${tool%%:*}" >/dev/null 2>&1 || missing+=("${tool##*:}")
done
if ((${#missing[@]} == 0)); then
    exit 0
fi
if ((EUID != 0)) || ! command -v apt-get >/dev/null 2>&1; then
    echo "error: missing system packages: ${missing[*]}" >&2
    echo "next: sudo make setup-system (or install them your system's way), then run make again" >&2
    exit 1
fi
for try in 1 2 3 4 5 6; do  # for five minutes: lists that a mirror is just changing cannot be had, and those from before may still do
    apt-get -o Acquire::Retries=3 update -q || echo "the lists of packages could not all be fetched" >&2
    if DEBIAN_FRONTEND=noninteractive apt-get -o Acquire::Retries=3 install -y -q --no-install-recommends "${missing[@]}"; then
        exit 0
    fi
    ((try == 6)) || sleep 60
done
echo "error: these system packages could not be installed: ${missing[*]}" >&2
echo "next: install them your system's way, then run make again" >&2
exit 1
