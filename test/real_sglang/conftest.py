"""The Docker engine and the image of the container test; nothing is started before a test asks for it."""

from support.child_processes import default_signals, ended_children
from support.engines import base_image, engine, rehearsal_image

__all__ = ["base_image", "default_signals", "ended_children", "engine", "rehearsal_image"]
