"""Images: resolved at their registry, pulled, built and copied."""
