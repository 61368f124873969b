"""Views of a run while it runs: terminal, log, GitHub Actions, JSON."""
