"""What goes together: every rule, in the order in which the solver asks and refusals name them.

A rule about drivers stands in `drivers`, one about images in `images`, and so on; a new module
has to be added to the list below. `rule` says how one is written.
"""

from . import compilers, drivers, gpus, images, libraries, platforms, pythons, wheels
from .rule import LEVELS, Rule

RULES: tuple[Rule, ...] = tuple(
    rule
    for level in LEVELS
    for module in (wheels, pythons, images, drivers, gpus, platforms, libraries, compilers)
    for rule in vars(module).values()
    if isinstance(rule, Rule) and rule.level == level
)
