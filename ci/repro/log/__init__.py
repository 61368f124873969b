"""A log of a job, read once: its steps, what set-up did, which tests ran, and how each of them ended."""
