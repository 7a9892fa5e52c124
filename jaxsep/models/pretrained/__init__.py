"""Frozen encoders whose weights come inside packages: one module each, with `load(*, ...)`."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax


class Pretrained(NamedTuple):
    """A network that is used as it is.

    Attributes:
      variables: its weights, a pytree.
      outputs: function (variables, batch) -> named arrays, one row per example, rows independent
        of each other; it can be compiled.
      fingerprint: text that differs where weights or options do; what was encoded is kept under it.
    """

    variables: Any
    outputs: Callable[[Any, Mapping[str, Any]], dict[str, jax.Array]]
    fingerprint: str
