"""What the registered tests of one model share. One module per model."""
