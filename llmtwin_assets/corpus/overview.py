"""What a person wants to see of stored documents: counts, dates, lengths. No text, no titles."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from llmtwin_assets.corpus.ingest import Ingested


def overview(
    lengths: Sequence[tuple[str | None, int]], given: Mapping[str, int], found: Ingested
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Facts and plots of documents, given as (ISO date or None, characters) and as numbers by
    source, and of what the sources said beside."""
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
    for source, count in given.items():
        figures[f"from {source}"] = count
    for source, count in found.unreadable.items():
        figures[f"unreadable in {source}"] = count
    for source, reasons in found.left_out.items():
        said = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
        figures[f"left out of {source}"] = said
    plots = {}
    if sizes:
        from llmtwin_assets.plots import document_lengths

        plots["lengths"] = document_lengths(dates, sizes)
    sources = {
        name: {"read": given.get(name, 0), "unreadable": found.unreadable.get(name, 0)}
        for name in sorted({*given, *found.unreadable})
    }
    facts = {"rows": len(sizes), "unreadable": unreadable, "sources": sources, "figures": figures}
    return facts, plots
