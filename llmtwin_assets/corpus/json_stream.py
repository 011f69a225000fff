"""JSON files larger than memory, value by value. Nothing is evaluated."""

from collections.abc import Iterator
from typing import Any, BinaryIO

from llmtwin_assets.corpus.reading import UnreadableItemError
from llmtwin_assets.corpus.zip_reader import LARGEST_STREAM, Tree

LARGEST_PREFIX = 4096  # bytes before the JSON of a script: ``window.YTD.tweets.part0 =``


def values(tree: Tree, name: str, path: str, script: bool = False) -> Iterator[Any]:
    """The values at a path in a JSON file: ``item`` for those of a list, ``data.posts.item`` for
    those of a list deeper in. A ``script`` assigns the JSON to a name first. Raises
    ``UnreadableItemError``."""
    import ijson  # type: ignore[import-untyped]

    with tree.open(name) as file:
        stream = _Capped(file, name)
        if script:
            stream.skip_past(b"=")
        try:
            yield from ijson.items(stream, path, use_float=True)
        except (ijson.JSONError, UnicodeDecodeError, RecursionError, ValueError) as error:
            why = " ".join(str(error).split())[:120]
            raise UnreadableItemError(
                name, f"it is not whole JSON ({why})", "Download the export again"
            ) from error


class _Capped:
    """A stream that ends with a refusal when it is longer than any export's file."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file, self._name, self._read, self._ahead = file, name, 0, b""

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes."""
        if self._ahead or size == 0:
            end = size if size >= 0 else len(self._ahead)
            data, self._ahead = self._ahead[:end], self._ahead[end:]
            return data
        data = self._file.read(size if size >= 0 else 65_536)
        self._read += len(data)
        if self._read > LARGEST_STREAM:
            raise UnreadableItemError(
                self._name, f"it has more than {LARGEST_STREAM} bytes", "Leave it out"
            )
        return data

    def skip_past(self, mark: bytes) -> None:
        """Go on after the first ``mark``."""
        begins = self._file.read(LARGEST_PREFIX)
        before, found, after = begins.partition(mark)
        if not found:
            raise UnreadableItemError(
                self._name, f"it does not begin as X's files do ({len(before)} bytes without '=')",
                "Download the export again",
            )  # fmt: skip
        self._ahead = after.lstrip()
