"""What is wrong with another project's CI: tests that never run, limits that cannot hold, gates that do not wait."""
