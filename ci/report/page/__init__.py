"""report.html as values: tests as cards, the timeline, bounds and the plan."""
