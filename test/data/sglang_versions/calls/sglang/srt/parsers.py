class Parsers:
    KNOWN: dict = {"alpha": object, "beta": object}
