"""What tests of pages in a real browser share: the browser, a phone, and what no page may do."""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

BROWSER = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-quic"]
PHONE = {"width": 360, "height": 740}
SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
TOO_SMALL = """[...document.querySelectorAll('button, a, select, summary, .switch')]
  .filter((e) => e.checkVisibility() && !e.matches('.skip, .marker'))
  .filter((e) => e.getBoundingClientRect().height < 43.5)
  .map((e) => e.outerHTML)"""
STATUS = re.compile(r"status of (\d+)")


def in_browser(test: Callable[..., None]) -> Callable[..., None]:
    test = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")(test)
    return pytest.mark.slow(pytest.mark.timeout(900)(test))


@contextmanager
def watched(page: Any, refused: tuple[int, ...] = ()) -> Iterator[None]:
    """Afterwards: no dialog opened, nothing was thrown, and the console shows no error but of
    replies with a status of ``refused``."""
    wrong: list[str] = []

    def heard(message: Any) -> None:
        status = STATUS.search(message.text)
        if message.type == "error" and not (status and int(status[1]) in refused):
            wrong.append(message.text)

    def opened(dialog: Any) -> None:
        wrong.append(f"a dialog: {dialog.message}")
        dialog.dismiss()

    page.on("console", heard)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", opened)
    yield
    assert wrong == []
