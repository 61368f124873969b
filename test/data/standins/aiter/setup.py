# Behaves badly in the way of AITER's: unless it is told to use the system's Triton, building it installs its own.
import os
import subprocess
import sys
from pathlib import Path

from setuptools import setup

HERE = Path(__file__).resolve().parent

if os.environ.get("AITER_USE_SYSTEM_TRITON", "0") != "1":
    options = ["--no-index", "--no-deps", "--no-build-isolation", "--force-reinstall", "--quiet"]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, str(HERE / "bundled-triton")], check=True
    )

head = subprocess.run(
    ["git", "-C", str(HERE), "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True, check=True
)
# The repository's root has a folder of the package's name and no `__init__.py`, as AITER's has.
setup(name="amd-aiter", version=f"0.1.6.dev1+g{head.stdout.strip()}", packages=["aiter"])
