"""The stop request, which ends the agent before its work is done."""


class Stop:
    """A request to end everything; the first reason stays. No lock: a signal handler makes it."""

    reason: str | None = None

    def request(self, reason: str) -> None:
        """End everything as soon as possible."""
        if self.reason is None:
            self.reason = reason
