"""What GPU code a library holds, read from the headers of its fat binaries.

nvcc puts the code of each translation unit into one fat binary: a header, then one entry for each
architecture, and cuobjdump lists those entries. NVIDIA publishes the outer header and the numbers
of PTX and ELF (`fatbinary.h` of the CUDA toolkit) but not the header of an entry; its fields here
are those that nvcc 13.0 writes and that cuobjdump 13.5 tells of the same files:
tests/kernels/test_fatbin.py compares the two.

What cuobjdump lists is kept apart from code that lies in the library as data, which it does not
see: the library has to load that by itself.
"""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from mmap import mmap
from typing import Any

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

MAGIC = struct.pack("<I", 0xBA55ED50)
# Magic, version, bytes of this header, bytes of the entries that follow.
HEADER = struct.Struct("<IHHQ")
# Kind, version, bytes of this header, bytes of the code and its padding; at 24 the minor and major
# version of the code (of a PTX: its ISA), the architecture; at 40 the flags.
ENTRY = struct.Struct("<HHIQ8xHHI8xQ")
SHORTEST_ENTRY = 64

PTX, CUBIN = "ptx", "cubin"
KINDS = {1: PTX, 2: CUBIN}
# sm_90a and sm_100f in an entry's flags: code for that very chip, and for its family
# (https://docs.nvidia.com/cuda/parallel-thread-execution/#ptx-module-directives-target).
SUFFIXES = {1 << 20: "a", 1 << 21: "f"}

# What the CUDA runtime loads; and code that was to be linked and stays in the library beside the
# result. cuobjdump too lists the latter only where there is no other ("-all" in
# https://docs.nvidia.com/cuda/cuda-binary-utilities/#command-line-options).
SECTIONS = (".nv_fatbin", "__nv_relfatbin")

# An ELF file of EM_CUDA (190), little-endian, 64 bits, as a library embeds it without a fat binary.
ELF = b"\x7fELF\x02\x01"
MACHINE = struct.Struct("<18xH")
EM_CUDA = 190
# Up to ABI version 7 the architecture is the lowest byte of e_flags, later the second
# (https://github.com/llvm/llvm-project/pull/159451). No bit of it tells sm_90a from sm_90 in what
# nvcc 13.0 writes, so no suffix is told.
ELF_HEADER = struct.Struct("<8xB39xI")
PTX_TEXT = re.compile(rb"\.version[ \t]+(\d+)\.(\d+)\s+\.target[ \t]+sm_(\d+)([af]?)\b")


@dataclass(frozen=True)
class Code:
    """One piece of GPU code.

    Attributes:
        kind: "cubin" or "ptx"; the number of the entry, such as "kind 8", for anything else.
        arch: the compute capability, such as "9.0a".
        isa: version of the PTX language, such as "9.0"; None for a cubin.
    """

    kind: str
    arch: str
    isa: str | None = None


@dataclass
class Library:
    """The GPU code of one file.

    Attributes:
        fatbins: the fat binaries that cuobjdump lists, by what they hold: how many of each.
        embedded: pieces of code that lie in the file as data, how many of each: in other fat
            binaries, as cubins and as PTX text.
    """

    fatbins: Counter[frozenset[Code]] = field(default_factory=Counter)
    embedded: Counter[Code] = field(default_factory=Counter)

    def __bool__(self) -> bool:
        """Whether there is any GPU code."""
        return bool(self.fatbins or self.embedded)


def capability(number: int, suffix: str = "") -> str:
    """Return "9.0a" for 90 and "a"."""
    return f"{number // 10}.{number % 10}{suffix}"


def entries(data: bytes | mmap, start: int) -> tuple[list[Code], int] | None:
    """Read the fat binary that begins at an offset.

    Args:
        data: the bytes of a library.
        start: where the magic number is.

    Returns:
        its code and the offset of its end; None if this is no fat binary.
    """
    if len(data) < start + HEADER.size:
        return None
    _, version, size, length = HEADER.unpack_from(data, start)
    at, end = start + size, start + size + length
    if version != 1 or size != HEADER.size or not length or end > len(data):
        return None
    found = []
    while at < end:
        if end - at < SHORTEST_ENTRY:
            return None
        kind, _, size, length, minor, major, arch, flags = ENTRY.unpack_from(data, at)
        if size < SHORTEST_ENTRY:
            return None
        suffix = "".join(letter for bit, letter in SUFFIXES.items() if flags & bit)
        name = KINDS.get(kind, f"kind {kind}")
        isa = f"{major}.{minor}" if name == PTX else None
        found.append(Code(name, capability(arch, suffix), isa))
        at += size + length
    return (found, end) if at == end else None


def sections(data: bytes | mmap) -> dict[str, range]:
    """Return where the fat binaries of an ELF file lie; nothing for a file of another format."""
    stream: Any = BytesIO(data) if isinstance(data, bytes) else data
    try:
        found = [ELFFile(stream).get_section_by_name(name) for name in SECTIONS]
    except ELFError:
        return {}
    return {
        each.name: range(each["sh_offset"], each["sh_offset"] + each["sh_size"])
        for each in found
        if each
    }


def between(data: bytes | mmap, start: int, end: int) -> Iterator[Code]:
    """Yield the cubins and PTX texts between two offsets, between which is no fat binary."""
    at = start
    while (at := data.find(ELF, at, end)) >= 0:
        if at + 64 <= end and MACHINE.unpack_from(data, at)[0] == EM_CUDA:
            abi, flags = ELF_HEADER.unpack_from(data, at)
            yield Code(CUBIN, capability((flags >> 8 if abi > 7 else flags) & 0xFF))
        at += len(ELF)
    for text in PTX_TEXT.finditer(data, start, end):
        major, minor, arch, suffix = (part.decode() for part in text.groups())
        yield Code(PTX, capability(int(arch), suffix), f"{major}.{minor}")


def scan(data: bytes | mmap) -> Library:
    """Return the GPU code of a library.

    Args:
        data: its bytes.
    """
    places = sections(data)
    listed: dict[str, Counter[frozenset[Code]]] = {name: Counter() for name in SECTIONS}
    embedded: Counter[Code] = Counter()
    at = done = 0
    while (at := data.find(MAGIC, at)) >= 0:
        fatbin = entries(data, at)
        if fatbin is None:
            at += len(MAGIC)
            continue
        embedded.update(between(data, done, at))
        code, done = fatbin
        for name, place in places.items():
            if at in place:
                listed[name][frozenset(code)] += 1
                break
        else:
            embedded.update(code)
        at = done
    embedded.update(between(data, done, len(data)))
    return Library(next((found for found in listed.values() if found), Counter()), embedded)
