"""The state of GPUs before and after a run."""
