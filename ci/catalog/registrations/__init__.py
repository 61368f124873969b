"""Registered tests: where they are and what they register, read by AST and never imported."""
