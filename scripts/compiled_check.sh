#!/usr/bin/env bash
# Builds the wheel of this platform, with the link's hot path as C (mypyc), and runs the link's tests against it.
# The checkout is not touched: the build works on the unpacked source archive. $1 is the Python of the environment.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1
compiler=${CC:-$(command -v gcc || command -v clang || true)}
header=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include") + "/Python.h")')
if [[ -z $compiler || ! -f $header ]]; then
    echo "compiled-check: skipped: no C compiler, or no Python.h (Debian, Ubuntu: apt-get install gcc python3-dev)" >&2
    [[ -z ${MICROCLAW_CI:-} ]]  # CI skips nothing
    exit
fi
built=build/compiled
rm -rf "$built"
"$python" -m hatchling build -t sdist -d "$built"
CC=$compiler HATCH_BUILD_HOOK_ENABLE_MYPYC=1 "$python" -m pip wheel -q --no-deps --no-build-isolation \
    --disable-pip-version-check -w "$built" "$built"/microclaw-*.tar.gz
"$python" -m pip install -q --no-deps --disable-pip-version-check --target "$built/site" "$built"/microclaw-*.whl
export PYTHONPATH=$PWD/$built/site
"$python" - <<'PYTHON'
from microclaw.link_server import connection, limits, websocket
from microclaw.wire.link import frame, session

for module in (connection, limits, websocket, frame, session):
    assert module.__file__.endswith((".so", ".pyd")), f"{module.__name__} is not compiled"
PYTHON
exec scripts/run_tests.sh "$python" load tests/link_server tests/wire/link -o cache_dir="$PWD/$built/pytest" \
    --ignore tests/link_server/test_hostile.py --ignore tests/link_server/test_kill.py
