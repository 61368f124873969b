"""A run in an allocation of Slurm: a submitter here, a head in the allocation, a worker on each node (docs/slurm.md)."""
