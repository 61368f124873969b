"""Workflows rendered from the catalog, linted; and SGLang's own, read."""
