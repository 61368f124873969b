"""Arguments as calls."""

import argparse

from sglang.srt.parsers import Parsers

BACKENDS = ["triton", "aiter"]
DETERMINISTIC_BACKENDS = ["triton"]


class ServerArgs:
    @staticmethod
    def add_cli_args(parser: argparse.ArgumentParser):
        names = list(Parsers.KNOWN.keys())
        parser.add_argument("--model-path", "--model", type=str, required=True)
        parser.add_argument("--tensor-parallel-size", "--tp-size", type=int, default=1)
        parser.add_argument("--old-prefill-backend", type=str, choices=BACKENDS)
        parser.add_argument("--attention-backend", type=str, choices=BACKENDS)
        parser.add_argument("--tool-parser", choices=["auto"] + names)
        parser.add_argument("--share", type=float)
        parser.add_argument("--lora", nargs="*")
        parser.add_argument("--fast", action="store_true", help="Run fast.")
        parser.add_argument("--mode", choices=[each.lower() for each in Parsers.MODES])
