"""What ends the agent before its work is done."""


class Stop:
    """The wish to end everything; the first reason stands. No lock: a signal handler asks for it."""

    reason: str | None = None

    def request(self, reason: str) -> None:
        """End everything as soon as possible."""
        if self.reason is None:
            self.reason = reason
