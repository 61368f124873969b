"""What is installed in a container, and the guards over it."""
