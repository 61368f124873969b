"""Evaluations: what share of a set of tasks a server gets right."""
