BACKENDS = [
    "triton",
    "new",
]
DETERMINISTIC_BACKENDS = ["triton"]
