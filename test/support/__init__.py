"""Helpers of this repository's own tests."""
