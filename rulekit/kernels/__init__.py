"""Compiled kernels: arrays come in, arrays go out, nothing else is known of the kit here.

`selection` picks the rules of each pair, `votes` counts, `neighbours` measures distances, `theory`
sums over vote patterns; `compiled` compiles them, `threads` spreads rows over the cores. Open
`selection` first.
"""

# float32 scores carry rounding errors near 1e-7: criteria are compared in whole steps of this.
RESOLUTION = 1e-6
