"""What a person wants to see of stored documents: counts, dates, lengths. No text, no titles."""

from collections.abc import Sequence
from datetime import date
from typing import Any


def overview(
    lengths: Sequence[tuple[str | None, int]], unreadable: int
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Facts and plots of documents, given as (ISO date or None, characters)."""
    sizes = [characters for _, characters in lengths]
    dates = [date.fromisoformat(day) if day else None for day, _ in lengths]
    dated = [day for day in dates if day]
    figures: dict[str, int | str] = {
        "documents": len(sizes),
        "characters": sum(sizes),
        "unreadable": unreadable,
    }
    if dated:
        figures |= {"first": min(dated).isoformat(), "last": max(dated).isoformat()}
    plots = {}
    if sizes:
        from llmtwin_assets.plots import document_lengths

        plots["lengths"] = document_lengths(dates, sizes)
    return {"rows": len(sizes), "unreadable": unreadable, "figures": figures}, plots
