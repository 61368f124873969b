"""What is: facts as TOML rows, loaded and checked whole."""
