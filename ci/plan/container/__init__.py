"""What a plan says of a container: its needs, its image, and what is installed in it."""
