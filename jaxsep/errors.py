"""Ways in which a run ends that are not wrong input (that is a ValueError)."""


class NonFiniteLoss(RuntimeError):
    """A metric of a step was NaN or infinite; the message says where and what to go back to."""


class NotWritten(RuntimeError):
    """The file system refused: full, read-only; the message says what, where and what is safe."""


class NotRead(ValueError):
    """There are checkpoints and none can be read; they are left as they are."""


class Interrupted(RuntimeError):
    """SIGTERM arrived; the state was saved."""
