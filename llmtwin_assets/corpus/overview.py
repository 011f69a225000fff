"""What a person wants to see of stored documents: counts, dates, lengths. No text, no titles."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from llmtwin_assets.corpus.ingest import Ingested


def overview(
    lengths: Sequence[tuple[str | None, int]], found: Ingested
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Facts and plots of documents, given as (ISO date or None, characters), and of what the
    sources said beside."""
    sizes = [characters for _, characters in lengths]
    dates = [date.fromisoformat(day) if day else None for day, _ in lengths]
    dated = [day for day in dates if day]
    unreadable = sum(found.unreadable.values())
    figures: dict[str, int | str] = {
        "documents": len(sizes),
        "characters": sum(sizes),
        "found twice": found.merged,
        "unreadable": unreadable,
    }
    if dated:
        figures |= {"first": min(dated).isoformat(), "last": max(dated).isoformat()}
    for source, count in found.unreadable.items():
        figures[f"unreadable in {source}"] = count
    for source, reasons in found.left_out.items():
        said = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
        figures[f"left out of {source}"] = said
    plots = {}
    if sizes:
        from llmtwin_assets.plots import document_lengths

        plots["lengths"] = document_lengths(dates, sizes)
    return {"rows": len(sizes), "unreadable": unreadable, "figures": figures}, plots
