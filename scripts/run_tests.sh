#!/usr/bin/env bash
# Runs the tests, four at once. At most 20 that fail then run once more, one at a time: real processes with real deadlines fail on a busy
# machine by chance, a fault fails twice. What needed the second try is named. $1 is the Python, $2 whether the tests of a file stay together
# (loadfile) or not (load); the rest are pytest's arguments.
set -uo pipefail
cd "$(dirname "$0")/.."
python=$1 dist=$2
shift 2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
"$python" -m pytest -q -n 4 --dist "$dist" --no-loadscope-reorder "$@" | tee "$log"
code=${PIPESTATUS[0]}
if ((code != 1)); then  # 0: all passed; above 1: pytest itself went wrong
    exit "$code"
fi
failures=$(sed -n 's/^failed: \(.*\) (.*)$/  \1/p' "$log" | sort -u)
count=$(grep -c . <<<"$failures")
if ((count == 0 || count > 20)); then
    exit 1
fi
echo "once more, one at a time: the $count that failed"
"$python" -m pytest -q --last-failed --last-failed-no-failures=none "$@" || exit
echo "passed alone, failed beside others:"
echo "$failures"
