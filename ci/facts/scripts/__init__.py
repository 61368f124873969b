"""Environments that other people's files set: launch scripts, command lines of docker, KEY=VALUE files. Read, never run."""
