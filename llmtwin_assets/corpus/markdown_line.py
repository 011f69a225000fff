"""A paragraph's runs of text, each in one style, as Markdown. Knows no HTML."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

SPACES = re.compile(r"[ \t\n\r\f]+")


@dataclass
class Run:
    """A piece of a paragraph in one style: its marks, outermost first, and where it links to."""

    text: str
    marks: tuple[str, ...]
    link: str

    @property
    def breaks(self) -> bool:
        """Whether it is a line break and nothing else."""
        return self.text == "\n" and not self.marks and not self.link


def joined(runs: list[Run], heading: bool) -> str:
    """The runs of a paragraph as text: white space collapsed, line breaks kept, each change of
    style marked where the text is and not on the spaces around it."""
    line = _Line()
    for piece in _collapsed(runs, heading):
        line.add(piece)
    line.close()
    lines = [text.strip(" ") for text in "".join(line.out).split("\n")]
    return "\n".join(lines).strip("\n")


def _collapsed(runs: list[Run], heading: bool) -> Iterator[Run]:
    """The runs with one space for any white space, none after another or at a line's beginning."""
    at_break = True
    for run in runs:
        if run.breaks:
            yield run
            at_break = True
            continue
        text = SPACES.sub(" ", run.text)
        if at_break:
            text = text.lstrip(" ")
        if "`" in run.marks and "`" in text:
            ticks = "`" * (1 + max(map(len, re.findall("`+", text))))
            text = f"{ticks} {text.strip()} {ticks}"
        if text:
            at_break = text.endswith(" ")
            yield Run(text, _shown(run.marks, text, heading), run.link)


class _Line:
    """Markdown in the making: what is open, and the space that is still to be written."""

    def __init__(self) -> None:
        self.out: list[str] = []
        self._opened: list[str] = []
        self._link = self._space = ""

    def add(self, piece: Run) -> None:
        """Write a run; its marks and its link are opened and closed where they change."""
        if piece.breaks:
            self.close()
            self.out.append("\n")
            return
        body = piece.text.strip(" ")
        if not body:
            self._space = " "
            return
        space = self._space or (" " if piece.text.startswith(" ") else "")
        self._change(list(piece.marks), piece.link, space)
        self.out.append(body)
        self._space = " " if piece.text.endswith(" ") else ""

    def close(self) -> None:
        """Close all that is open; a space that was due is due no more."""
        self.out += [*_closing(self._opened), _close_link(self._link)]
        self._opened, self._link, self._space = [], "", ""

    def _change(self, marks: list[str], link: str, space: str) -> None:
        """Close what ends here, write the space, open what begins."""
        same_link = link == self._link
        keep = _common(self._opened, marks) if same_link else 0
        self.out += _closing(self._opened[keep:])
        if not same_link:
            self.out.append(_close_link(self._link))
        self.out.append(space)
        if not same_link and link:
            self.out.append("[")
        self.out += marks[keep:]
        self._opened, self._link = marks, link


def _shown(marks: tuple[str, ...], text: str, heading: bool) -> tuple[str, ...]:
    """Each mark once; in a heading, bold goes without saying; code that holds backticks has its
    own already."""
    hidden = {"**"} if heading else set()
    if "`" in text:
        hidden.add("`")
    return tuple(mark for mark in dict.fromkeys(marks) if mark not in hidden)


def _closing(marks: list[str]) -> list[str]:
    return marks[::-1]


def _close_link(link: str) -> str:
    return f"]({link})" if link else ""


def _common(a: list[str], b: list[str]) -> int:
    length = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        length += 1
    return length
