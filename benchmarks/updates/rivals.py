"""Other templates, updated with plain `copier update` after the same edits."""

RIVALS: dict = {}


def rival_fleet(*a):
    """Not yet."""
