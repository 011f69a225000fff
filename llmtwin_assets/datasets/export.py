"""A data set written out for other programs: a file in one of five formats with its card beside it,
or a folder of Parquet that ``datasets.load_dataset`` opens."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmtwin_assets.datasets import card, formats
from llmtwin_assets.records import InstructSample, from_frame
from resources.artifacts import write_atomically
from resources.errors import LlmTwinError

if TYPE_CHECKING:
    import polars as pl

PARQUET = "parquet"
CHOICES = (*formats.FORMATS, PARQUET)
SPLITS = {"train": "train", "held-out": "held_out"}  # and their names on the hub
README = "README.md"


class UnknownFormatError(LlmTwinError):
    """No export has this name."""


class NotWrittenError(LlmTwinError):
    """The files cannot be where they are asked for."""


def export(
    frame: "pl.DataFrame",
    format_: str,
    out: Path,
    name: str,
    digest: str,
    facts: Mapping[str, Any],
    documents: Iterable[Mapping[str, Any]],
) -> dict[str, int]:
    """Write the rows of a data set of ``name`` and its card (see ``card.render``); returns file ->
    rows. In a file stand the rows to train on, in a folder both splits. Raises
    ``UnknownFormatError``, ``NotWrittenError``."""
    if format_ not in CHOICES:
        raise UnknownFormatError(
            format_, "data sets are not written in this format", f"Use {', '.join(CHOICES)}"
        )
    try:
        files, counts, note = _rows(frame, format_, out)
        text = card.render(name, digest, facts, documents, files)
        write_atomically(note, text.encode("utf-8"))
    except OSError as error:
        kind = "folder" if format_ == PARQUET else "file"
        raise NotWrittenError(
            str(out), f"it cannot be written ({error.strerror})", f"Name a new {kind} in --out"
        ) from error
    return counts


def _rows(
    frame: "pl.DataFrame", format_: str, out: Path
) -> tuple[dict[str, str], dict[str, int], Path]:
    """Write the rows; returns split -> file, file -> rows, and where the card goes."""
    if format_ == PARQUET:
        out.mkdir(parents=True, exist_ok=True)
        files = {hub: f"{hub}.parquet" for hub in SPLITS.values()}
        counts = {}
        for split, hub in SPLITS.items():
            rows = frame.filter(frame["split"] == split)
            rows.write_parquet(out / files[hub])
            counts[str(out / files[hub])] = rows.height
        return files, counts, out / README
    train = from_frame(InstructSample, frame.filter(frame["split"] == "train"))
    write_atomically(out, "".join(formats.lines(train, format_)).encode("utf-8"))
    return {"train": out.name}, {str(out): len(train)}, out.with_name(f"{out.name}.{README}")
