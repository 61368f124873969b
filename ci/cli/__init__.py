"""The command line that the sessions call: `python -m ci COMMAND`."""
