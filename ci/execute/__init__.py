"""ACT: executors, each one module behind one protocol."""
