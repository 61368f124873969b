"""Benches: how fast a server answers."""
