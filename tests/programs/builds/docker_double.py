"""Stands in for Docker's client: takes its command line, and runs the machine's clang with those mounts alone.

bubblewrap gives the view that the engine would give: what is not mounted is not there, what is read-only cannot be
written, and there is no network. Every call is a line of JSON in docker-calls of the home folder.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

IMAGE = "example/wasi-sdk:1"
DIGEST = "sha256:" + "ab" * 32
SINGLE = {"--rm", "--read-only"}


def main(words: list[str]) -> int:
    with Path(os.environ["HOME"], "docker-calls").open("a") as log:
        log.write(json.dumps(words) + "\n")
    if words[:2] == ["image", "inspect"]:
        if words[-1] != IMAGE:
            sys.stderr.write(f"Error: No such image: {words[-1]}\n")
            return 1
        print(DIGEST)
        return 0
    if words[0] != "run":
        return 0
    options: list[tuple[str, str]] = []
    at = 1
    while words[at].startswith("--"):
        flag, equals, value = words[at].partition("=")
        if flag in SINGLE or equals:
            options.append((flag, value))
            at += 1
        else:
            options.append((flag, words[at + 1]))
            at += 2
    image, *arguments = words[at:]
    given = dict(options)
    assert image in (IMAGE, DIGEST), image
    assert given["--network"] == "none"
    assert "--read-only" in given
    assert given["--user"] == f"{os.getuid()}:{os.getgid()}"
    binary = "/usr/bin/" + Path(given["--entrypoint"]).name
    view = ["bwrap", "--unshare-all", "--die-with-parent", "--clearenv", "--ro-bind", "/usr", "/usr"]
    for folder in ("lib", "lib64", "bin"):
        view += ["--symlink", f"usr/{folder}", f"/{folder}"]
    view += ["--dev", "/dev", "--proc", "/proc"]
    for flag, value in options:
        if flag == "--mount":
            mount = dict(part.partition("=")[::2] for part in value.split(","))
            view += ["--ro-bind" if "readonly" in mount else "--bind", mount["source"], mount["target"]]
        elif flag == "--env":
            view += ["--setenv", *value.split("=", 1)]
    os.execvp("bwrap", [*view, "--chdir", given["--workdir"], binary, *arguments])
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
