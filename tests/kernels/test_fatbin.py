"""What is read from a library is what cuobjdump lists of it, and what it does not list."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import struct
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from scripts.kernels.fatbin import Code, Library, scan

# The kernel SOURCE, compiled by nvcc 13.0 and without its debug information:
#   nvcc -c -Xfatbin -compress-all -gencode arch=compute_75,code=sm_75
#     -gencode arch=compute_90a,code=sm_90a -gencode arch=compute_100f,code=sm_100f
#     -gencode arch=compute_120,code=[sm_120,compute_120] twice.cu && strip --strip-debug twice.o
OBJECT = Path(__file__).with_name("twice.o")
SOURCE = "__global__ void twice(float* x) { x[threadIdx.x] *= 2.0f; }\n"
# Flags of an entry: 64 bits and Linux, which all have; then "a" and "f".
PLAIN, ARCH_SPECIFIC, FAMILY = 0x11, 0x100011, 0x200011


def entry(kind: int, arch: int, flags: int = PLAIN, code: bytes = b"code....") -> bytes:
    """An entry of a fat binary, of version 9.3 for PTX."""
    fields = (kind, 0x101, 64, len(code), 3 if kind == 1 else 8, 9 if kind == 1 else 1, arch, flags)
    return struct.pack("<HHIQ8xHHI8xQ", *fields).ljust(64, b"\0") + code


def fatbin(*entries: bytes) -> bytes:
    """A fat binary of entries."""
    body = b"".join(entries)
    return struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(body)) + body


def elf(**sections: bytes) -> bytes:
    """An ELF file for x86-64 with these sections."""
    names, headers, body = b"\0.shstrtab\0", [bytes(64)], b""
    for name, content in sections.items():
        headers.append(section_header(len(names), 64 + len(body), len(content)))
        names += name.encode() + b"\0"
        body += content
    headers.append(section_header(1, 64 + len(body), len(names), kind=3))
    body += names
    counts = (64, 0, 0, 64, len(headers), len(headers) - 1)
    head = struct.pack(
        "<16sHHIQQQI6H", b"\x7fELF\2\1\1", 3, 62, 1, 0, 0, 64 + len(body), 0, *counts
    )
    return head + body + b"".join(headers)


def section_header(name: int, offset: int, size: int, kind: int = 1) -> bytes:
    return struct.pack("<IIQQQQIIQQ", name, kind, 0, 0, offset, size, 0, 0, 1, 0)


def archs(library: Library) -> Counter[tuple[str, str]]:
    """How often each kind and architecture is in the fat binaries."""
    found: Counter[tuple[str, str]] = Counter()
    for codes, count in library.fatbins.items():
        for code in codes:
            found[code.kind, code.arch] += count
    return found


@pytest.fixture(scope="session")
def cuobjdump() -> Path:
    """NVIDIA's own reader."""
    try:
        files = importlib.metadata.files("nvidia-cuda-cuobjdump") or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("cuobjdump is packaged for Linux on x86_64")
    return next(Path(file.locate()) for file in files if file.name == "cuobjdump")


def listed_by(cuobjdump: Path, path: Path) -> Counter[tuple[str, str]]:
    """What cuobjdump prints for each entry that it would extract."""
    command = [cuobjdump, "--list-elf", "--list-ptx", path]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    names = re.findall(r"\.sm_(\d+)(\d[af]?)\.(cubin|ptx)$", text, re.MULTILINE)
    return Counter((kind, f"{major}.{minor}") for major, minor, kind in names)


def without_f(found: Counter[tuple[str, str]]) -> Counter[tuple[str, str]]:
    """The same as cuobjdump names files: sm_100 for sm_100f where it is a cubin."""
    return Counter(
        {
            (kind, arch.removesuffix("f") if kind == "cubin" else arch): count
            for (kind, arch), count in found.items()
        }
    )


def test_an_object_of_nvcc_holds_what_it_was_compiled_for() -> None:
    library = scan(OBJECT.read_bytes())
    assert library.fatbins == {
        frozenset(
            {
                Code("cubin", "7.5"),
                Code("cubin", "9.0a"),
                Code("cubin", "10.0f"),
                Code("cubin", "12.0"),
                Code("ptx", "12.0", "9.0"),
            }
        ): 1
    }
    assert not library.embedded


def test_an_object_of_nvcc_holds_what_cuobjdump_lists(cuobjdump: Path) -> None:
    listed = listed_by(cuobjdump, OBJECT)
    assert listed.total() == 5
    assert without_f(archs(scan(OBJECT.read_bytes()))) == listed


@pytest.mark.parametrize(
    ("options", "has"),
    [
        pytest.param(
            ["-gencode=arch=compute_80,code=[sm_80,compute_80]"], "8.0 8.0+PTX", id="as by default"
        ),
        pytest.param(
            ["--compress-mode=none", "-gencode=arch=compute_90a,code=[sm_90a,compute_90a]"],
            "9.0a 9.0a+PTX",
            id="not compressed",
        ),
        pytest.param(
            [
                "-Xfatbin=-compress-all",
                "-gencode=arch=compute_86,code=sm_86",
                "-gencode=arch=compute_120f,code=[sm_121f,compute_120f]",
                "-gencode=arch=compute_100a,code=sm_100a",
            ],
            "8.6 10.0a 12.1f 12.0f+PTX",
            id="all compressed",
        ),
        pytest.param(["-rdc=true", "-arch=sm_75"], "7.5 7.5+PTX", id="relocatable"),
    ],
)
def test_what_nvcc_compiles_now_is_what_cuobjdump_lists(
    options: list[str], has: str, tmp_path: Path, cuobjdump: Path
) -> None:
    if not shutil.which("nvcc"):
        pytest.skip("no nvcc on PATH")
    source, library = tmp_path / "twice.cu", tmp_path / "twice.so"
    source.write_text(SOURCE)
    flags = ["-shared", "-Xcompiler=-fPIC", "-cudart=none", *options]
    subprocess.run(["nvcc", *flags, "-o", library, source], check=True)
    found = archs(scan(library.read_bytes()))
    assert {f"{arch}+PTX" if kind == "ptx" else arch for kind, arch in found} == set(has.split())
    assert without_f(found) == listed_by(cuobjdump, library)


def test_each_fat_binary_is_counted() -> None:
    first, second = fatbin(entry(2, 80), entry(1, 80)), fatbin(entry(2, 80), entry(2, 90))
    library = scan(elf(**{".nv_fatbin": first + bytes(8) + second + first}))
    assert archs(library) == {("cubin", "8.0"): 3, ("cubin", "9.0"): 1, ("ptx", "8.0"): 2}


def test_an_entry_tells_architecture_suffix_and_ptx_version() -> None:
    entries = (entry(2, 90, ARCH_SPECIFIC), entry(2, 103, FAMILY), entry(1, 120), entry(8, 75))
    (codes,) = scan(elf(**{".nv_fatbin": fatbin(*entries)})).fatbins
    assert codes == {
        Code("cubin", "9.0a"),
        Code("cubin", "10.3f"),
        Code("ptx", "12.0", "9.3"),
        Code("kind 8", "7.5"),
    }


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(fatbin(), id="without entries"),
        pytest.param(fatbin(entry(2, 80) + bytes(8)), id="with a rest"),
        pytest.param(fatbin(struct.pack("<HHIQ48x", 2, 0x101, 32, 32)), id="with a short header"),
        pytest.param(fatbin(entry(2, 80)[:-4]) + bytes(4), id="whose entry overruns it"),
        pytest.param(b"\x50\xed\x55\xba\2" + fatbin(entry(2, 80))[5:], id="of another version"),
        pytest.param(b"\x50\xed\x55\xba", id="that is a constant in code"),
    ],
)
def test_what_is_no_whole_fat_binary_is_passed_over(broken: bytes) -> None:
    assert not scan(broken)
    library = scan(elf(**{".nv_fatbin": broken + fatbin(entry(2, 75))}))
    assert library.fatbins == {frozenset({Code("cubin", "7.5")}): 1}


def test_a_fat_binary_that_the_file_cuts_off_is_passed_over() -> None:
    assert scan(fatbin(entry(2, 80)))
    assert not scan(fatbin(entry(2, 80))[:-1])
    assert not scan(fatbin(entry(2, 80))[:12])


def test_code_that_was_linked_is_not_counted_again() -> None:
    sections = {"__nv_relfatbin": fatbin(entry(1, 90)), ".nv_fatbin": fatbin(entry(2, 80))}
    library = scan(elf(**sections))
    assert archs(library) == {("cubin", "8.0"): 1}
    assert not library.embedded
    del sections[".nv_fatbin"]
    assert archs(scan(elf(**sections))) == {("ptx", "9.0"): 1}


def test_code_embedded_as_data_is_told_apart() -> None:
    old = struct.pack(
        "<4sBBBBB7xHHIQQQI12x", b"\x7fELF", 2, 1, 1, 51, 7, 2, 190, 1, 0, 0, 0, 0x550556
    )
    new = struct.pack(
        "<4sBBBBB7xHHIQQQI12x", b"\x7fELF", 2, 1, 1, 65, 8, 2, 190, 1, 0, 0, 0, 0x6006702
    )
    text = b"\n.version 8.3\n.target sm_90a, debug\n.version 4.2 .target sm_50\n"
    sections = {".rodata": fatbin(entry(2, 100)) + old, ".nv_fatbin": fatbin(entry(2, 80))}
    library = scan(elf(**sections, **{".data": new + text}))
    assert archs(library) == {("cubin", "8.0"): 1}
    assert library.embedded == {
        Code("cubin", "10.0"): 1,
        Code("cubin", "8.6"): 1,
        Code("cubin", "10.3"): 1,
        Code("ptx", "9.0a", "8.3"): 1,
        Code("ptx", "5.0", "4.2"): 1,
    }


def test_code_inside_a_fat_binary_is_not_taken_for_data() -> None:
    text = b".version 9.3\n.target sm_120\n".ljust(32, b"\0")
    nested = entry(2, 80, code=fatbin(entry(2, 90)))
    library = scan(elf(**{".nv_fatbin": fatbin(entry(1, 120, code=text), nested)}))
    assert archs(library) == {("ptx", "12.0"): 1, ("cubin", "8.0"): 1}
    assert not library.embedded


def test_a_library_without_gpu_code_holds_none() -> None:
    assert not scan(elf(**{".text": b"\x90" * 64}))
    assert not scan(b"no ELF file at all")
