"""Slurm: the one door to its programs, and what their answers mean."""
