"""Undoing the compression of a response, a little at a time.

A kilobyte can unpack to a gigabyte, so nothing here unpacks more than ``PIECE`` bytes before it
hands them on: whoever counts the pieces can stop in time. Knows bytes, not where they come from.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping

import brotli  # type: ignore[import-untyped]
from backports import zstd

PIECE = 64 * 1024  # bytes
CODINGS = 2  # codings laid over each other, at most
# RFC 9659: a sender on the web may not ask for more memory than 8 MiB.
_ZSTD_WINDOW: Mapping[int, int] = {zstd.DecompressionParameter.window_log_max: 23}


class NotDecodableError(ValueError):
    """Bytes that are not what their coding says, or a coding that is not known."""


def decoded(pieces: Iterable[bytes], codings: str) -> Iterator[bytes]:
    """Pieces of a body without its ``Content-Encoding``, at most ``PIECE`` bytes each.

    ``codings`` is the header's value. Raises ``NotDecodableError``, also for a body that ends
    before its last compressed frame does.
    """
    names = [name.strip().lower() for name in codings.split(",") if name.strip()]
    layers = [name for name in names if name != "identity"]
    if len(layers) > CODINGS:
        raise NotDecodableError(f"{len(layers)} codings over each other")
    for name in reversed(layers):
        decoder = _DECODERS.get(name)
        if decoder is None:
            raise NotDecodableError(f"unknown coding '{name[:40]}'")
        pieces = _checked(decoder, pieces)
    return iter(pieces)


def accepted() -> str:
    """The value of ``Accept-Encoding`` for what can be undone here."""
    return "gzip, br, zstd"


def _checked(
    decoder: Callable[[Iterable[bytes]], Iterator[bytes]], pieces: Iterable[bytes]
) -> Iterator[bytes]:
    try:
        yield from decoder(pieces)
    except (zlib.error, brotli.error, zstd.ZstdError, EOFError) as error:
        raise NotDecodableError(str(error)) from error


def _inflate(pieces: Iterable[bytes], bits: int) -> Iterator[bytes]:
    """gzip (one member or several) and zlib streams."""
    stream, begun = zlib.decompressobj(bits), False
    for piece in pieces:
        rest = piece
        while rest:
            if stream.eof:
                if not rest.strip(b"\x00"):  # some writers pad the end
                    break
                stream = zlib.decompressobj(bits)
            begun = True
            out = stream.decompress(rest, PIECE)
            if out:
                yield out
            rest = stream.unused_data if stream.eof else stream.unconsumed_tail
    while begun and not stream.eof:
        out = stream.decompress(stream.unconsumed_tail, PIECE)
        if not out:
            raise EOFError("the compressed data is cut off")
        yield out


def _gunzip(pieces: Iterable[bytes]) -> Iterator[bytes]:
    return _inflate(pieces, 16 + zlib.MAX_WBITS)


def _deflate(pieces: Iterable[bytes]) -> Iterator[bytes]:
    return _inflate(pieces, zlib.MAX_WBITS)


def _unbrotli(pieces: Iterable[bytes]) -> Iterator[bytes]:
    stream, begun = brotli.Decompressor(), False
    for piece in pieces:
        begun = begun or bool(piece)
        out = stream.process(piece, output_buffer_limit=PIECE)
        while out:
            yield from _cut(out)
            out = b"" if stream.is_finished() else stream.process(b"", output_buffer_limit=PIECE)
    if begun and not stream.is_finished():
        raise EOFError("the compressed data is cut off")


def _unzstd(pieces: Iterable[bytes]) -> Iterator[bytes]:
    stream, begun = zstd.ZstdDecompressor(options=_ZSTD_WINDOW), False
    for piece in pieces:
        rest = piece
        while rest or not stream.needs_input:
            if stream.eof:
                rest = stream.unused_data or rest
                if not rest:
                    break
                stream = zstd.ZstdDecompressor(options=_ZSTD_WINDOW)
            begun = True
            out, rest = stream.decompress(rest, PIECE), b""
            if out:
                yield out
    if begun and not stream.eof:
        raise EOFError("the compressed data is cut off")


def _cut(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), PIECE):
        yield data[start : start + PIECE]


_DECODERS: dict[str, Callable[[Iterable[bytes]], Iterator[bytes]]] = {
    "gzip": _gunzip,
    "x-gzip": _gunzip,
    "deflate": _deflate,
    "br": _unbrotli,
    "zstd": _unzstd,
}
