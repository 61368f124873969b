"""Registrations are read, not run."""


def register_amd_ci(**_keywords: object) -> None:
    """Nothing happens when the file is run."""
