"""What BuildKit printed while it built, read into steps."""

from __future__ import annotations

import re
from dataclasses import dataclass, field


@dataclass
class Step:
    """One vertex of a build, as BuildKit's `--progress=plain` reports it.

    `seconds` is BuildKit's own figure, None for a step that was cached or that failed.
    """

    number: int
    name: str
    cached: bool = False
    seconds: float | None = None
    failed: bool = False
    lines: list[str] = field(default_factory=list)

    @property
    def ran(self) -> bool:
        """True when BuildKit executed the step in this build."""
        return self.seconds is not None and not self.cached


_STEP_LINE = re.compile(r"^#(\d+) (.*)$")
_DONE = re.compile(r"^DONE ([\d.]+)s$")
_OUTPUT = re.compile(r"^\d+\.\d+ (.*)$")


def parse_progress(log: str) -> list[Step]:
    """Read what `docker build --progress=plain` printed into steps, in the order of their numbers.

    `log` is the whole log, of Docker 20.10's built-in BuildKit or of a newer buildx. Returns a Step
    per vertex. Lines outside BuildKit's `#<number> ` form (a client's warnings) are left out.
    """
    steps: dict[int, Step] = {}
    for raw in log.splitlines():
        found = _STEP_LINE.match(raw)
        if not found:
            continue
        number, text = int(found[1]), found[2]
        step = steps.get(number)
        if step is None:
            steps[number] = Step(number, text)
            continue
        done = _DONE.match(text)
        output = _OUTPUT.match(text)
        if text == "CACHED":
            step.cached = True
        elif done:
            step.seconds = float(done[1])
        elif text.startswith(("ERROR", "CANCELED")):
            step.failed = True
        elif output:
            step.lines.append(output[1])
    return [steps[number] for number in sorted(steps)]
