"""The page that shows which chunks are not indexed, and for which twin."""

from html import escape
from typing import TYPE_CHECKING

from llmtwin_assets.records import Chunk, from_frame

if TYPE_CHECKING:
    import polars as pl

MOST = 500  # rows of the page

HEAD = """<!doctype html><meta charset="utf-8"><title>Chunks left out</title>
<style>body{font:15px/1.5 system-ui;margin:2em auto;max-width:72em;padding:0 1em}
table{border-collapse:collapse;width:100%}td,th{border-top:1px solid #ccc;padding:.5em;
text-align:left;vertical-align:top;width:50%;white-space:pre-wrap}small{color:#555}</style>"""


def left_out_page(chunks: "pl.DataFrame") -> str:
    """An HTML page with every chunk that has a twin, beside it; the first ``MOST``."""
    import polars as pl

    gone = chunks.filter(pl.col("twin") != "")
    shown = from_frame(Chunk, gone.head(MOST))
    twins = chunks.filter(pl.col("id").is_in({chunk.twin for chunk in shown}))
    by_id = {chunk.id: chunk for chunk in from_frame(Chunk, twins)}
    rows = "".join(
        f"<tr><td>{_cell(chunk)}</td><td>{_cell(by_id[chunk.twin])}</td></tr>" for chunk in shown
    )
    return (
        f"{HEAD}<h1>Chunks left out</h1><p>{gone.height} of {chunks.height} chunks say nearly what "
        f"another one says; search finds that one.</p>"
        f"<table><tr><th>left out</th><th>indexed instead</th></tr>{rows}</table>"
    )


def _cell(chunk: Chunk) -> str:
    where = f"{chunk.title}, chunk {chunk.position + 1} of {chunk.passages}"
    return f"<small>{escape(where)}</small>\n{escape(chunk.text)}"
