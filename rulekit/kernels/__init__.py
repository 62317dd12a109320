"""Numba kernels: pure functions on arrays, no Python objects, no knowledge of rules or pairs."""
