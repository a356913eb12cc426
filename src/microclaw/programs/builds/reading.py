"""Reads untrusted text with our own code in a process with a compiler's limits. Knows no language.

Python's parser and checks of whole programs can take far longer than the text is long, and the parser holds the
interpreter's lock meanwhile: in a thread of the host it would stop everything.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Final, TypeVar

from msgspec import Struct, msgpack

from microclaw.conversion import decode_msgpack
from microclaw.programs.builds.outputs import read_output
from microclaw.programs.builds.process import Processes, build_failure

Answer = TypeVar("Answer", bound=Struct)
_START: Final = "import importlib, sys; sys.path[:] = sys.argv[3:]; importlib.import_module(sys.argv[1]).main()"


def read_in_process(
    module: str, question: Struct, answer_type: type[Answer], file: str, processes: Processes
) -> Answer:
    """Run `main` of a module, which reads the file `question` and writes the file `answer`, both msgpack. Blocks.

    Raises BuildError if it takes more than a compiler may; `file` is the name of the text in the error.
    """
    # The interpreter itself, not a link to it, and without `site`, which slows the start down: this process's folders
    # are passed instead.
    python = os.path.realpath(sys.executable)
    folders = [folder for folder in sys.path if Path(folder).is_absolute() and Path(folder).is_dir()]
    command = [python, "-I", "-S", "-c", _START, module, sys.base_prefix, *folders]
    with tempfile.TemporaryDirectory(prefix="microclaw-read-") as work:
        directory = Path(work)
        (directory / "question").write_bytes(msgpack.encode(question))
        result = processes.run(command, directory)
        if result.returncode != 0 or result.timed_out:
            raise build_failure(result, (), file, "check")
        return decode_msgpack(read_output(directory / "answer", stage="check"), answer_type)
