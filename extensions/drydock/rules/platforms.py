"""Rules about platforms: what they have a place for."""

from __future__ import annotations

from ..catalogue import Catalogue
from ..request import Request
from .rule import rule


@rule
def platform_does_workload(catalogue: Catalogue, request: Request) -> bool:
    """The platform must have a place for the work: KServe runs servers, and no training."""
    if request.platform is None:
        return True
    return request.work <= {*catalogue.platforms[request.platform].workloads}
