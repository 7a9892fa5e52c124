"""Ways in which a run ends that are not wrong input (that is a ValueError)."""


class NonFiniteLoss(RuntimeError):
    """A metric of a step was NaN or infinite; the message says where and what to go back to."""


class Interrupted(RuntimeError):
    """SIGTERM arrived; the state was saved."""
