"""Readers of every kind."""

import os

from sglang.srt.environ import envs

NAME = "SGLANG_BY_CONSTANT"


def get_bool_env_var(name, default="false"):
    yes = ("true", "1")
    no = ("false", "0")
    text = os.getenv(name, default).lower()
    return text in yes and text not in no


def values():
    return [
        envs.SGLANG_FAST.get(),
        envs.SGLANG_TOKENS.get(),
        get_bool_env_var("SGLANG_HELPED", "true"),
        os.environ.get("SGLANG_COMPARED", "0") == "1",
        int(os.environ.get("SGLANG_NUMBER", "3")),
        os.getenv("SGLANG_NOT_OFF", "1") != "0",
        "SGLANG_PRESENT" in os.environ,
        os.environ["SGLANG_TEXT"],
        bool(os.environ.get("SGLANG_TRUTH")),
        os.environ.get(NAME),
        os.environ.get("NCCL_DEBUG"),
    ]


def write():
    os.environ["SGLANG_WRITTEN"] = "1"
