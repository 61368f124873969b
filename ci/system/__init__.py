"""The doors to the outside: processes, the environment, the clock, signals and file locks."""
