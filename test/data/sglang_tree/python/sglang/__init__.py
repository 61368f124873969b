"""A stand-in for SGLang: what its installation needs, and nothing that serves."""

NAME = "from the checkout"
