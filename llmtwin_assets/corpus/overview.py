"""What a person wants to see of stored documents: counts, dates, lengths, with no text and no
title; and the page of what could not be read."""

from collections.abc import Mapping, Sequence
from datetime import date
from html import escape
from typing import Any

from llmtwin_assets.corpus.ingest import Ingested

HEAD = """<!doctype html><meta charset="utf-8"><title>Could not be read</title>
<style>body{font:15px/1.5 system-ui;margin:2em auto;max-width:72em;padding:0 1em}
table{border-collapse:collapse;width:100%}td,th{border-top:1px solid #ccc;padding:.5em;
text-align:left;vertical-align:top;overflow-wrap:anywhere}</style>"""


def unreadable_page(quarantined: Mapping[str, Mapping[str, str]]) -> str:
    """An HTML page of the items that could not be read: source -> item -> reason."""
    tables = "".join(
        f"<h2>{escape(source)}</h2><table><tr><th>item</th><th>why</th></tr>"
        + "".join(
            f"<tr><td>{escape(item)}</td><td>{escape(reason)}</td></tr>"
            for item, reason in items.items()
        )
        + "</table>"
        for source, items in quarantined.items()
    )
    return (
        f"{HEAD}<h1>Could not be read</h1><p>Everything else was. These items are tried again "
        f"when their source or its importer changes.</p>{tables}"
    )


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
