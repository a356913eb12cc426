"""`python -m bench [NAME ...] [--json] [--check]`: run benchmarks and print what they measured."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

from bench.report import as_json, as_table

NAMES = (
    "wasm",
    "virtual",
    "python",
    "sandbox",
    "firmware",
    "deploy",
    "many_boards",
    "agent",
    "turn_cost",
    "turns",
    "host",
    "worst_texts",
    "store",
    "audit",
    "memory",
    "gateway",
    "mcp",
    "mqtt",
    "parts",
    "prompt",
    "sentences",
    "verdict",
    "link",
    "voice",
    "ota",
    "rollout",
    "egress",
    "page",
    "program_pages",
    "scale",
)
QUICK = ("voice", "scale")
PARTS = (  # to be run alone: of link, ota, voice and scale, and what needs a model
    "link_cost",
    "link_streams",
    "link_hostile",
    "link_lossy",
    "ota_audio",
    "voice_turn",
    "voice_streams",
    "voice_lossy",
    "voice_recognition",
    "voice_detectors",
    "scale_devices",
    "small_model",
)
FIGURES = Path(__file__).with_name("quick.json")


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    names = f"{', '.join(NAMES)} (default: all), quick, or one to be run alone: {', '.join(PARTS)}"
    parser.add_argument("names", nargs="*", metavar="NAME", help=names)
    parser.add_argument("--json", action="store_true", help="one JSON document a benchmark")
    parser.add_argument("--quick", action="store_true", help="voice, scale: a look, in a minute or two")
    parser.add_argument("--write", action="store_true", help=f"quick: write {FIGURES.name}")
    parser.add_argument("--check", action="store_true", help="exit 1 when a goal is missed")
    parser.add_argument("--sentences", type=Path, metavar="FILE", help="agent: say these and judge by the board's pins")
    parser.add_argument("--model", default="offline", help="agent --sentences: offline, anthropic:NAME or openai:NAME")
    options = parser.parse_args()
    if options.names == ["quick"]:
        return _quick(options)
    unknown = [n for n in options.names if n not in NAMES + PARTS]
    if unknown:
        parser.error(f"no benchmark named {unknown[0]}; there are {', '.join(NAMES + PARTS)}")
    if options.quick and (not options.names or not set(options.names) <= set(QUICK)):
        parser.error(f"--quick belongs to {' and '.join(QUICK)}: python -m bench voice --quick")
    if options.sentences is not None:
        if options.names != ["agent"]:
            parser.error("--sentences belongs to agent: python -m bench agent --sentences FILE")
        return _sentences(options)
    missed = False
    for name in options.names or NAMES:
        measure = importlib.import_module(f"bench.{name}").measure
        if options.quick:
            metrics = measure(quick=True)
        else:
            metrics = measure()
        print(as_json(name, metrics) if options.json else as_table(name, metrics), flush=True)
        missed = missed or not all(m.ok for m in metrics)
    return 1 if options.check and missed else 0


def _quick(options: argparse.Namespace) -> int:
    from bench import quick

    metrics = quick.measure()
    document = as_json("quick", metrics, indent=1)
    print(document, flush=True)
    if options.write:
        FIGURES.write_text(document + "\n", encoding="utf-8")
    return 1 if options.check and not all(m.ok for m in metrics) else 0


def _sentences(options: argparse.Namespace) -> int:
    from bench import agent_sentences

    said = agent_sentences.run(options.sentences, options.model)
    document = agent_sentences.report(said, options.sentences, options.model)
    print(agent_sentences.as_json(document) if options.json else agent_sentences.as_text(document), flush=True)
    return 1 if options.check and not all(m.get("ok", True) for m in document["metrics"].values()) else 0


if __name__ == "__main__":
    sys.exit(main())
