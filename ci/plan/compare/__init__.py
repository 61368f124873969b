"""Plans side by side: what differs, the same plan again, and a plan in one line of a log."""
