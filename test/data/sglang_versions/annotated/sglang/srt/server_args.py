"""Arguments as annotated fields, deprecated ones as calls."""

import argparse
import dataclasses
from typing import Annotated as A
from typing import List, Literal, Optional

from sglang.srt.arg import Arg, add_from, json_list

BACKENDS = ["triton", "aiter", "new"]
DETERMINISTIC_BACKENDS = ["triton", "aiter"]


@dataclasses.dataclass
class ServerArgs:
    model_path: A[str, Arg(help="Where it is.", aliases=["--model"])]
    tp_size: A[int, Arg(help="GPUs.", cli_name="--tensor-parallel-size", aliases=["--tp-size"])] = 1
    new_prefill_backend: A[Optional[str], Arg(help="Kernels.", choices=BACKENDS)] = None
    attention_backend: A[str | None, Arg(help="Kernels.", choices=[*BACKENDS, "more"])] = None
    share: A[float, "A share of the memory."] = 0.9
    lora: A[Optional[List[str]], "Adapters."] = None
    weights: A[Optional[List[str]], Arg(help="JSON.", type_parser=json_list)] = None
    level: A[Literal["low", "high"], "A level."] = "low"
    fast: A[bool, "Run fast."] = False
    hidden: A[bool, Arg(help="No argument.", no_cli=True)] = False
    plain: int = 0

    @staticmethod
    def add_cli_args(parser: argparse.ArgumentParser):
        add_from(parser, ServerArgs)
        parser.add_argument(
            "--old-prefill-backend",
            action=DeprecatedAliasStoreAction,
            new_flag="--new-prefill-backend",
            choices=BACKENDS,
            help="[Deprecated] Use the other.",
        )
