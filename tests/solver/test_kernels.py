"""Which GPUs run a kernel: the rules of binary code, of PTX and of the letters."""

from __future__ import annotations

import pytest

from drydock.kernels import kernel_runs, read_kernel


@pytest.mark.parametrize(
    ("kernel", "compute", "runs"),
    [
        ("10.0f", "10.0", True),
        ("10.0f", "10.3", True),
        ("10.3f", "10.0", False),
        ("10.0f", "12.0", False),
        ("12.0f", "12.1", True),
        ("12.1a", "12.1", True),
        ("12.1a", "12.0", False),
        ("10.0a", "10.3", False),
        ("9.0a+PTX", "10.0", False),
        ("9.0a+PTX", "9.0", True),
    ],
)
def test_a_letter_binds_code_to_its_capability_or_its_family(
    kernel: str, compute: str, runs: bool
) -> None:
    assert kernel_runs(kernel, compute) is runs


@pytest.mark.parametrize(
    ("kernel", "compute", "runs"),
    [
        ("8.7", "8.7", True),
        ("8.0", "8.7", False),
        ("8.0+PTX", "8.7", True),
        ("11.0", "11.0", True),
        ("10.0", "11.0", False),
        ("9.0+PTX", "8.7", False),
    ],
)
def test_a_tegra_chip_runs_its_own_binary_code_and_any_older_ptx(
    kernel: str, compute: str, runs: bool
) -> None:
    assert kernel_runs(kernel, compute, tegra=True) is runs


@pytest.mark.parametrize("text", ["9", "9.0b", "sm_90", "9.0+ptx", ""])
def test_what_is_no_kernel_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no kernel"):
        read_kernel(text)
