"""The Docker engine: client, containers, commands in them, and what became of them."""
