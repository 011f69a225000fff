"""What tests of the corpus room share."""

from typing import Any

import pytest

from llmtwin_assets.corpus import zip_reader


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are opened in archives from now on."""
    names: list[str] = []
    for tree in (zip_reader.ZipTree, zip_reader.FolderTree):

        def noting(self: Any, name: str, _open: Any = tree.open) -> Any:
            names.append(name)
            return _open(self, name)

        monkeypatch.setattr(tree, "open", noting)
    return names
