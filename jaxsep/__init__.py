"""Learning, measuring and using separable representations in JAX."""

__version__ = '0.1.0'
