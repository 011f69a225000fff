"""The directory of a GGUF file: which tensors it holds, of which shape and type, and where.

Reads the header alone, in one pass and without building the metadata's values: a vocabulary of
50,000 strings costs milliseconds. The layout is version 3 of the GGUF specification. What the
tensors mean is not known here.
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import numpy as np

MAGIC, VERSIONS = b"GGUF", (2, 3)
ALIGNMENT = 32  # bytes, unless the metadata says otherwise
STRING, ARRAY = 8, 9
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # bytes by type
MOST = 1 << 24  # elements or bytes in one name or array: more is a damaged length


@dataclass(frozen=True)
class Tensor:
    """One tensor: its shape (rows first, as numpy has it), GGML type, and place in the file."""

    shape: tuple[int, ...]
    type: int
    start: int
    bytes: int


def tensors(path: Path) -> dict[str, Tensor]:
    """Name -> tensor. Raises ``ValueError`` for a file that is not GGUF or is cut short."""
    with path.open("rb") as file:
        if file.read(4) != MAGIC:
            raise ValueError("it does not begin as a GGUF file does")
        version, count, fields = _unpack(file, "<IQQ")
        if version not in VERSIONS or max(count, fields) > MOST:
            raise ValueError(f"version {version} of GGUF cannot be read")
        alignment = ALIGNMENT
        for _ in range(fields):
            key, value = _field(file)
            alignment = value if key == "general.alignment" else alignment
        described = [_described(file) for _ in range(count)]
        data = -(-file.tell() // alignment) * alignment
    found = {
        name: Tensor(shape, type_, data + offset, _bytes(shape, type_))
        for name, shape, type_, offset in described
    }
    end = max((tensor.start + tensor.bytes for tensor in found.values()), default=0)
    if not found or path.stat().st_size < end:
        raise ValueError("it ends before its last tensor")
    return found


def values(path: Path, tensor: Tensor) -> "np.ndarray[Any, np.dtype[np.float32]]":
    """A tensor's values in fp32, unpacked if it is quantised, of ``tensor.shape``."""
    import numpy as np
    from gguf import GGMLQuantizationType, quants

    raw = np.fromfile(path, dtype=np.uint8, count=tensor.bytes, offset=tensor.start)
    rows = raw.reshape(*tensor.shape[:-1], -1)
    unpacked: np.ndarray[Any, np.dtype[np.float32]] = quants.dequantize(
        rows, GGMLQuantizationType(tensor.type)
    )
    return unpacked.reshape(tensor.shape)


def _described(file: BinaryIO) -> tuple[str, tuple[int, ...], int, int]:
    name = _string(file)
    (dimensions,) = _unpack(file, "<I")
    if not 0 < dimensions <= 4:
        raise ValueError(f"tensor {name!r} has {dimensions} dimensions")
    shape = _unpack(file, f"<{dimensions}Q")
    type_, offset = _unpack(file, "<IQ")
    return name, tuple(reversed(shape)), type_, offset


def _bytes(shape: tuple[int, ...], type_: int) -> int:
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

    block, size = GGML_QUANT_SIZES[GGMLQuantizationType(type_)]
    elements = 1
    for length in shape:
        elements *= length
    return int(elements // block * size)


def _field(file: BinaryIO) -> tuple[str, Any]:
    """A metadata key and its value if that is one whole number; other values are passed over."""
    key = _string(file)
    (kind,) = _unpack(file, "<I")
    if kind == 4:
        return key, _unpack(file, "<I")[0]
    _skip(file, kind)
    return key, None


def _skip(file: BinaryIO, kind: int) -> None:
    if kind == STRING:
        _string(file)
    elif kind == ARRAY:
        inner, length = _unpack(file, "<IQ")
        if length > MOST:
            raise ValueError("an array in its metadata is longer than the file")
        if inner in SIZES:
            file.seek(SIZES[inner] * length, 1)
        else:
            for _ in range(length):
                _skip(file, inner)
    elif kind in SIZES:
        file.seek(SIZES[kind], 1)
    else:
        raise ValueError(f"its metadata has a value of the unknown type {kind}")


def _string(file: BinaryIO) -> str:
    (length,) = _unpack(file, "<Q")
    if length > MOST:
        raise ValueError("a name in it is longer than the file")
    data = file.read(length)
    if len(data) != length:
        raise ValueError("it is cut short")
    return data.decode("utf-8", "replace")


def _unpack(file: BinaryIO, form: str) -> tuple[Any, ...]:
    data = file.read(struct.calcsize(form))
    if len(data) != struct.calcsize(form):
        raise ValueError("it is cut short")
    return struct.unpack(form, data)
