from typing import Optional

__version__ = "2.9.1+rocm7.2"
cuda: Optional[str] = None  # noqa: UP045 - as torch's own generated file
hip: Optional[str] = "7.2.53211"  # noqa: UP045 - as torch's own generated file
