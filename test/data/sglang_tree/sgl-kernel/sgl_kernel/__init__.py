"""A stand-in for SGLang's kernels."""

NAME = "built from the checkout"
