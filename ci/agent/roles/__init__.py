"""The servers behind a test, each in its role: one agent for each, which meet in a folder of the run."""
