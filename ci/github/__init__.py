"""GitHub Actions: workflows rendered from the catalog, the jobs of a run, and proof that they are the same sessions."""
