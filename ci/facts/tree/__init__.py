"""A checkout's own facts, read from its files: nothing of it is imported or run."""
