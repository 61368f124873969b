"""ACT: executors, the agent and the record of a run."""
