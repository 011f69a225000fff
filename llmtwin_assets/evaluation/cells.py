"""How systems, figures and tables are written on a report's page."""

from collections.abc import Mapping, Sequence
from html import escape

from llmtwin_assets.evaluation.figures import (
    BASE,
    DEPLOYED,
    FEW_SHOT,
    HELD_OUT,
    RAG,
    SFT,
    TWIN,
    TWIN_RAG,
)
from llmtwin_assets.evaluation.writers import AUTHOR

TO = "\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}"  # an interval stays on one line
LABELS = {
    BASE: "Base model",
    FEW_SHOT: "Base, with examples",
    RAG: "Base, with passages",
    SFT: "Fine-tuned",
    TWIN: "Twin",
    TWIN_RAG: "Twin, with passages",
    DEPLOYED: "Twin that serves now",
    HELD_OUT: "Author, unseen text",
    AUTHOR: "The author",
}


def label(name: str) -> str:
    """How a system or writer is called on the page."""
    return LABELS.get(name, name)


def percent(share: float) -> str:
    """A share as a percentage."""
    return f"{share:.1%}"


def number(value: float | None) -> str:
    """Two decimals, or a dash for what is not known."""
    return "–" if value is None else f"{value:.2f}"


def reach(found: Mapping[str, float]) -> str:
    """A value with its interval."""
    return f"{found['value']:.2f} ({found['low']:.2f}{TO}{found['high']:.2f})"


def gained(found: Mapping[str, float] | None) -> str:
    """A style gain with its interval; a dash where there is none."""
    if found is None:
        return "–"
    if found["low"] == found["high"]:
        return f"{found['value']:.0%}"
    return f"{found['value']:.0%} ({found['low']:.0%}{TO}{found['high']:.0%})"


def table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table that scrolls sideways where it is wider than the screen; all text is escaped."""
    top = "".join(f'<th scope="col">{escape(each)}</th>' for each in head)
    body = "\n".join(
        f'<tr><th scope="row">{escape(first)}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        + "</tr>"
        for first, *cells in rows
    )
    return (
        f'<div class="wide"><table><caption><span>{escape(caption)}</span></caption>'
        f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )
