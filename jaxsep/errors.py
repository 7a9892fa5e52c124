"""Ways in which a run ends that are not wrong input (that is a ValueError)."""

from collections.abc import Callable


class NonFiniteLoss(RuntimeError):
    """A metric of a step was NaN or infinite; the message says where and what to go back to."""


class NotWritten(RuntimeError):
    """The file system refused: full, read-only; the message says what, where and what is safe.

    What is safe is looked up when the message is told: a save may still be under way before.
    """

    def __init__(self, refused: str, safe: Callable[[], str]):
        super().__init__(refused)
        self._safe = safe

    def __str__(self) -> str:
        return f'{super().__str__()}; {self._safe()}'


class NotRead(ValueError):
    """There are checkpoints and none can be read; they are left as they are."""


class Interrupted(RuntimeError):
    """SIGTERM arrived; the state was saved."""
