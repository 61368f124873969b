"""Variables, in the form of this version."""

import os
import warnings
from contextlib import ExitStack


class EnvField:
    def __init__(self, default):
        self.default = default

    def __set_name__(self, owner, name):
        self.name = name

    def get(self):
        text = os.environ.get(self.name)
        if text is None:
            return self.default
        try:
            return self.parse(text)
        except ValueError as error:
            warnings.warn(f"{self.name}: {error}")
            return self.default


class EnvBool(EnvField):
    def parse(self, text):
        if text.lower() in ("1", "true"):
            return True
        if text.lower() in ("0", "false"):
            return False
        raise ValueError(f"{text} is neither true nor false")


class EnvInt(EnvField):
    def parse(self, text):
        return int(text)


class Envs:
    SGLANG_FAST = EnvBool(False)
    SGLANG_TOKENS = EnvInt(64)
    SGLANG_DECLARED_ALONE = EnvBool(True)


envs = Envs()

import sglang.srt.tracing  # noqa: E402,F401
