"""Registered tests: where they lie and what they register, read by AST and never imported."""
