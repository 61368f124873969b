"""llama.cpp's HTTP server as a program: serves one GGUF file on an address until SIGTERM or SIGINT, then exits with 0.

It dies with the process that started it, also when that one is killed.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def _die_with(parent: int) -> None:
    """Have the kernel end us when the thread that started us ends."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it died before the call: no signal will come
        raise SystemExit(f"the process {parent} that started this server is gone")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="GGUF file")
    parser.add_argument("--alias", required=True, help="the model's id in /v1/models")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--slots", type=int, required=True, help="requests served at once")
    parser.add_argument("--context", type=int, required=True, help="tokens of each slot")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True, help="process id that must be our parent")
    parser.add_argument(
        "--embeddings", action="store_true", help="answer /v1/embeddings too, mean of all tokens"
    )
    return parser.parse_args()


def main() -> None:
    """Start the server, wait for a signal, end it."""
    arguments = _arguments()
    # blocked before the server starts its threads: they inherit the mask, so that sigwait gets the signal
    stop = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)
    _die_with(arguments.parent)

    import xllamacpp  # noqa: PLC0415  # 100 MB of shared object, after the signals are in order

    params = xllamacpp.CommonParams()
    params.model.path = arguments.model
    params.model_alias = [arguments.alias]
    params.hostnames = [arguments.host]
    params.port = arguments.port
    params.n_gpu_layers = 0
    params.n_parallel = arguments.slots
    params.n_ctx = arguments.slots * arguments.context  # llama.cpp counts the context of all slots together
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = arguments.threads
    params.endpoint_metrics = True
    params.cache_prompt = False
    params.cache_ram_mib = 0
    params.ui = False
    if arguments.embeddings:
        params.embedding = True
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
        # a text is embedded in one physical batch; a longer one would be refused
        params.n_batch = params.n_ubatch = arguments.context
    server = xllamacpp.Server(params)
    print(f"serving {arguments.alias} on {arguments.host}:{arguments.port}", flush=True)  # noqa: T201  # the server's log
    received = signal.sigwait(stop)
    print(f"stopping on {signal.Signals(received).name}", flush=True)  # noqa: T201  # as above
    del server


if __name__ == "__main__":
    main()
