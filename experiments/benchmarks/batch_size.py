"""How the cost of NT-Xent grows with the batch: in blocks, and with the full matrix.

Value and gradient for 2^8 to 2^16 rows of 128 numbers; the full matrix as far as it goes. Memory is what
the compiled program holds beside its arguments and results. The exponent is that of the power
law fitted to all sizes, by least squares in the logarithms: the pairs are n^2, the memory of blocks is n.
"""

import numpy as np

from experiments.benchmarks.contrastive import TEMPERATURE, WIDTH, views
from experiments.measuring import meters, processes
from experiments.measuring.rows import Measured, against

SIZES = {
    'full': {'powers': [8, 9, 10, 11, 12, 13, 14, 15, 16], 'most_whole': 13, 'seconds': 1.0},
    'quick': {'powers': [3, 4, 5], 'most_whole': 5, 'seconds': 0.0},
}
PACKAGES = ('jax',)
FORMS = {'jaxsep': 'auto', 'the full matrix': None}


def measure_form(form: str, powers: list[int], seconds: float) -> dict:
    """Times and memory for each number of rows, and the exponents fitted to them."""
    import jax
    import jax.numpy as jnp

    from jaxsep.losses.contrastive import nt_xent

    def loss(z1, z2):
        return nt_xent(z1, z2, TEMPERATURE, chunk_size=FORMS[form])

    sizes = {}
    for power in powers:
        z = [jnp.asarray(view) for view in views(2**power)]
        program = jax.jit(jax.value_and_grad(loss, argnums=(0, 1))).lower(*z).compile()

        def run(program=program, z=z):
            return jax.block_until_ready(program(*z))

        first, *_ = meters.once(run)
        # As often as fits into some seconds: small batches are over in a millisecond.
        repeats = int(np.clip(seconds / first, 1, 200))
        fastest = min(meters.once(run)[0] for _ in range(repeats))
        memory = program.memory_analysis().temp_size_in_bytes
        sizes[str(2**power)] = {'time': fastest, 'memory': memory}
    return {
        'exponent of time': exponent(sizes, 'time'),
        'exponent of memory': exponent(sizes, 'memory'),
        'rows': sizes,
    }


def exponent(sizes: dict[str, dict], quantity: str) -> float:
    """The slope of the logarithm of a quantity over that of the number of rows."""
    x = np.log([int(rows) for rows in sizes])
    return float(np.polyfit(x, np.log([each[quantity] for each in sizes.values()]), 1)[0])


def measure(powers: list[int], most_whole: int, seconds: float) -> Measured:
    """Both forms; the exponents of each over the sizes that it was measured at."""
    few = [power for power in powers if power <= most_whole]
    ours = processes.fresh(measure_form, 'jaxsep', powers, seconds)
    whole = processes.fresh(measure_form, 'the full matrix', few, seconds)
    peer = f'the full matrix, up to 2^{few[-1]}'
    sizes = f'2^{powers[0]} to 2^{powers[-1]} rows of {WIDTH}'
    both = 'exponent of time', 'exponent of memory'
    table = against('NT-Xent in blocks, growth', sizes, both, {'jaxsep': ours, peer: whole})
    return Measured(table, {'in blocks': ours, 'full matrix': whole})
