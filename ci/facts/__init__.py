"""LOOK: what a plan depends on, gathered once: this machine, this tree, this registry, this event."""
