"""`python -m bench [NAME ...] [--json] [--check]`: run benchmarks and print what they measured."""

from __future__ import annotations

import argparse
import importlib
import sys

from bench.report import as_json, as_table

NAMES = ("wasm", "virtual", "deploy", "agent", "turns", "host", "store", "memory", "gateway", "sentences", "link")
PARTS = ("link_cost", "link_streams", "link_hostile", "link_lossy")  # of link, to be run alone


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    names = f"{', '.join(NAMES)} (default: all), or a part of link: {', '.join(PARTS)}"
    parser.add_argument("names", nargs="*", metavar="NAME", help=names)
    parser.add_argument("--json", action="store_true", help="one JSON document a benchmark")
    parser.add_argument("--check", action="store_true", help="exit 1 when a goal is missed")
    options = parser.parse_args()
    unknown = [n for n in options.names if n not in NAMES + PARTS]
    if unknown:
        parser.error(f"no benchmark named {unknown[0]}; there are {', '.join(NAMES + PARTS)}")
    missed = False
    for name in options.names or NAMES:
        metrics = importlib.import_module(f"bench.{name}").measure()
        print(as_json(name, metrics) if options.json else as_table(name, metrics), flush=True)
        missed = missed or not all(m.ok for m in metrics)
    return 1 if options.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
