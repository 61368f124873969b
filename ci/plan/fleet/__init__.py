"""What a fleet of machines would do with a day's changes: a simulation of discrete events."""
