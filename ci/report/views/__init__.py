"""What the sessions and verbs print that run no tests."""
