"""The page of a data set: what was kept and dropped and why, what it is about, rows to read before
anybody pays for a training."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from llmtwin_assets.datasets.quality import Judged
from llmtwin_assets.datasets.topics import Topic
from llmtwin_assets.pages import page
from llmtwin_assets.plots import as_data_uri

if TYPE_CHECKING:
    import polars as pl

MOST_LINES = 200  # of a list
SHOWN = 4  # rows of each kind, and of each reason


def dataset_page(
    judged: Judged,
    topics: Sequence[Topic],
    plots: Mapping[str, bytes],
    wrong: Sequence[str] = (),
) -> str:
    """An HTML page; every text in it is escaped. ``wrong`` says what could not be read."""
    kept, dropped = judged.kept, judged.dropped
    total = kept.height + dropped.height
    pictures = "".join(
        f'<img src="{as_data_uri(png)}" alt="{escape(name)}">' for name, png in plots.items()
    )
    body = (
        f"<h1>What the twin learns from</h1>"
        f'<p class="lead">{kept.height} of {total} candidates are kept. The answers are spans of '
        f"what the author wrote; the instructions were written to fit them.</p>"
        f'<div class="pictures">{pictures}</div>'
        f"{_table('Why candidates were dropped', ('reason', 'rows'), judged.funnel.items())}"
        f"{_table('What the author writes about', HEAD, map(_row, topics))}"
        f"{_list('Could not be used', wrong)}"
        f"<h2>Kept</h2>{_groups(kept, 'kind', 'why')}"
        f"<h2>Dropped</h2>{_groups(dropped, 'reason', 'detail')}"
    )
    return page("What the twin learns from", body)


HEAD = ("topic", "pieces of the author's text", "rows")


def _row(topic: Topic) -> tuple[str, int, int]:
    return ", ".join(topic.words), topic.pieces, topic.rows


def _table(title: str, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = "".join(
        f"<tr><th>{escape(str(name))}</th>"
        + "".join(f"<td>{value:,}</td>" for value in values)
        + "</tr>"
        for name, *values in rows
    )
    columns = "".join(f"<th>{escape(name)}</th>" for name in head)
    table = f'<div class="wide"><table><thead><tr>{columns}</tr></thead><tbody>{lines}'
    return f"<h2>{escape(title)}</h2>{table}</tbody></table></div>" if lines else ""


def _list(title: str, lines: Sequence[str]) -> str:
    told = "".join(f"<li>{escape(line)}</li>" for line in lines[:MOST_LINES])
    return f"<h2>{escape(title)} ({len(lines):,})</h2><ul>{told}</ul>" if lines else ""


def _groups(rows: "pl.DataFrame", by: str, told: str) -> str:
    """The first rows of each value of a column, under its name."""
    found = ""
    for name in sorted(set(rows[by].to_list())):
        group = rows.filter(rows[by] == name)
        shown = "".join(_sample(row, row[told]) for row in group.head(SHOWN).iter_rows(named=True))
        found += f"<h3>{escape(name)} ({group.height:,})</h3>"
        found += f'<div class="columns">{shown}</div>'
    return found or "<p>None.</p>"


def _sample(row: Mapping[str, Any], told: str) -> str:
    return (
        f"<article><h4>{escape(told) or '&nbsp;'}</h4><p><b>{escape(row['instruction'])}</b></p>"
        f"<p>{escape(row['answer'])}</p></article>"
    )
