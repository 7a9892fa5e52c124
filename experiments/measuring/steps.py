"""Training steps of jaxsep and of PyTorch side by side.

All start from the same weights. Before anything is timed, loss and gradients must agree. Steps are taken
in turn, one of each, so that whatever else the machine does slows down all of them.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch

from experiments.measuring import meters
from experiments.measuring.rows import Measured, against
from jaxsep.trainers.state import COMPILED_QUICKLY

Found = tuple[float, dict[str, np.ndarray]]
FORMS = ((False, False), (True, False), (True, True))
"""Of PyTorch: attention written out, its fused attention, and that compiled."""


def name_of(form: tuple[bool, bool]) -> str:
    """'PyTorch', with what is special."""
    fused, compiled = form
    return 'PyTorch' + ' with fused attention' * fused + ', compiled' * compiled


class JaxStep:
    """A step of a method, and its loss and gradients.

    Args:
      init: (key, batch) -> params, extra.
      loss: (params, extra, batch, key) -> value, (extra, metrics).
    """

    def __init__(
        self,
        init: Callable,
        loss: Callable,
        optimizer: optax.GradientTransformation,
        batch: Mapping[str, np.ndarray],
    ):
        self.batch, key = jax.tree.map(jnp.asarray, dict(batch)), jax.random.key(1)
        quick = COMPILED_QUICKLY if jax.default_backend() == 'cpu' else None
        build = jax.jit(init, compiler_options=quick)
        self.params, self.extra = build(jax.random.key(0), self.batch)
        self.state = optimizer.init(self.params)

        def gradients(params, extra, batch):
            return jax.value_and_grad(loss, has_aux=True)(params, extra, batch, key)

        def step(params, state, extra, batch):
            (value, (extra, _)), grads = gradients(params, extra, batch)
            updates, state = optimizer.update(grads, state, params)
            return optax.apply_updates(params, updates), state, extra, value

        self.gradients = jax.jit(gradients)
        self.compiled = jax.jit(step, donate_argnums=(0, 1, 2))

    def to_torch(self, path: str, array: np.ndarray) -> np.ndarray:
        """An array as it is; where another step in jax is a peer, nothing is laid out anew."""
        del path
        return array

    def value_and_gradients(self) -> Found:
        """The loss, and the gradient of each array by its path."""
        (value, _), grads = self.gradients(self.params, self.extra, self.batch)
        return float(value), by_path(grads)

    def step(self) -> float:
        """One step; the loss before it."""
        self.params, self.state, self.extra, value = self.compiled(
            self.params, self.state, self.extra, self.batch
        )
        jax.block_until_ready(self.params)
        return float(value)


def by_path(tree: Any) -> dict[str, np.ndarray]:
    """Leaves by path, 'interacting_0/query/kernel'."""
    return {
        '/'.join(k.key for k in path): np.array(leaf)
        for path, leaf in jax.tree.leaves_with_path(tree)
    }


class TorchStep:
    """The same with the same weights; a subclass defines `loss`.

    Attributes:
      weights: by path, as PyTorch lays them out.
      optimizer: set by the subclass.
    """

    optimizer: torch.optim.Optimizer

    def __init__(self, weights: Mapping[str, np.ndarray]):
        self.weights = {
            k: torch.from_numpy(self.to_torch(k, w).copy()).requires_grad_()
            for k, w in weights.items()
        }

    def to_torch(self, path: str, array: np.ndarray) -> np.ndarray:
        """An array as PyTorch lays it out."""
        return array

    def loss(self) -> torch.Tensor:
        """The loss of the batch."""
        raise NotImplementedError

    def value_and_gradients(self) -> Found:
        """As `JaxStep.value_and_gradients`, arrays as PyTorch lays them out."""
        value = self.loss()
        grads = torch.autograd.grad(value, list(self.weights.values()))
        return value.item(), dict(zip(self.weights, (g.numpy() for g in grads), strict=True))

    def step(self) -> float:
        """One step; the loss before it."""
        self.optimizer.zero_grad()
        value = self.loss()
        value.backward()
        self.optimizer.step()
        return value.item()


Step = JaxStep | TorchStep


def difference(name: str, peer: Step, expected: Found, tolerance: float) -> float:
    """The largest difference of a gradient in units of its array's largest entry.

    An array counts with at least a hundredth of the largest entry of all: the gradient of a bias before a
    norm is nothing but rounding. Above `tolerance` it is a ValueError.
    """
    value, grads = peer.value_and_gradients()
    np.testing.assert_allclose(value, expected[0], rtol=1e-4, err_msg=name)
    largest = max(np.abs(g).max() for g in expected[1].values())
    found = max(
        float(np.abs(grads[k] - peer.to_torch(k, g)).max() / max(np.abs(g).max(), largest / 100))
        for k, g in expected[1].items()
    )
    if found > tolerance:
        raise ValueError(f'{name}: gradients differ by {found:.1e} of their largest entry')
    return found


def compare(
    what: str,
    sizes: str,
    ours: JaxStep,
    peers: Mapping[str, Step],
    repeats: int,
    tolerance: float = 1e-2,
) -> Measured:
    """Checks that all compute the same, then takes steps in turn."""
    expected = ours.value_and_gradients()
    differences = {n: difference(n, peer, expected, tolerance) for n, peer in peers.items()}
    everyone = {'jaxsep': ours, **peers}
    losses = {name: [peer.step()] for name, peer in everyone.items()}

    def step(name):
        return lambda: losses[name].append(everyone[name].step())

    times = meters.in_turn({name: step(name) for name in everyone}, repeats)
    found = {
        name: {
            'time': times[name].fastest,
            'gradient_difference': differences.get(name, 0.0),
            'losses': [losses[name][0], losses[name][-1]],
            **times[name].summary(),
        }
        for name in everyone
    }
    return Measured(
        against(what, sizes, ('time',), found), {what: found, 'threads': meters.threads()}
    )
