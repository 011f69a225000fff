"""CSV files of exports: UTF-8, a header row, fields of any length, line breaks within quotes."""

import csv
import io
from collections.abc import Iterator

from llmtwin_assets.corpus.reading import UnreadableItemError
from llmtwin_assets.corpus.zip_reader import Tree

LARGEST_FIELD = 10_000_000  # characters


def rows(tree: Tree, name: str) -> Iterator[dict[str, str]]:
    """The rows of a CSV file by column name, read as they are asked for. Raises
    ``UnreadableItemError`` for the file."""
    csv.field_size_limit(LARGEST_FIELD)
    with tree.open(name) as file:
        text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
        try:
            for row in csv.DictReader(text):
                yield {str(key): value or "" for key, value in row.items() if key is not None}
        except (csv.Error, UnicodeDecodeError) as error:
            raise UnreadableItemError(
                name, f"it is not a table in UTF-8 ({error})", "Download the export again"
            ) from error
        finally:
            text.detach()


def header(data: bytes) -> list[str]:
    """The column names in the first bytes of a CSV file."""
    first = data.decode("utf-8-sig", "replace").splitlines()[:1]
    return next(csv.reader(first), [])
