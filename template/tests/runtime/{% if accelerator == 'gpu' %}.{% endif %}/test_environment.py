"""The project has two environments, and `uv sync` installs the one without a GPU."""

from importlib.metadata import distributions


def test_the_cpu_environment_has_no_nvidia_package():
    names = {distribution.metadata["Name"].lower() for distribution in distributions()}
    assert not {name for name in names if name.startswith("nvidia")}
