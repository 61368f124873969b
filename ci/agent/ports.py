"""Ports that runs on one machine keep apart."""

import os
import socket
from collections.abc import Mapping
from contextlib import ExitStack

__all__ = ["hold", "hold_free"]

# an abstract socket: its name is one of the network, as ports are, and goes with its process however that ends
_NAME = "\0amd-ci-port-"
# where another run has the ports, they are looked for further on, below those of the slots
_STEP = 30
_STEPS = 6


def hold(port: int) -> "socket.socket | None":
    """Keep a port from other agents until this is closed or we end; None where one has it."""
    held = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        held.bind(f"{_NAME}{port}")
    except OSError:
        held.close()
        return None
    return held


def hold_free(ports: Mapping[str, int], host: str) -> "tuple[dict[str, int], ExitStack]":
    """These ports by name, or as many further on, on which a program can listen; they are held until the stack is closed.

    Raises:
        OSError: none are free; its words are about the first.
    """
    first: OSError | None = None
    for further in range(0, _STEP * _STEPS, _STEP):
        found = {name: port + further for name, port in ports.items()}
        with ExitStack() as stack:
            try:
                for name, port in found.items():
                    stack.enter_context(_hold_free(port, name, host))
            except OSError as error:
                first = first or error
                continue
            return found, stack.pop_all()
    raise first or OSError(0, "it has no ports")


def _hold_free(port: int, name: str, host: str) -> socket.socket:
    held = hold(port)
    if held is None:
        raise OSError(0, f"port {port} ({name}): another run on this machine has it")
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        held.close()
        why = os.strerror(error.errno) if error.errno else str(error)
        raise OSError(error.errno, f"port {port} ({name}): {why}") from error
    return held
