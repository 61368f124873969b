__version__ = version = "0.5.13.dev12+g1a2b3c4"
