"""The image's Triton."""

NAME = "system"
