NAME = "bundled"
