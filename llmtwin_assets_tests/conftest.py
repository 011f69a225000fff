"""What every test has: no network but loopback, and an author with a small corpus."""

import socket
from pathlib import Path
from typing import Any

import pytest

from llmtwin_assets_tests.writing import write_essays

LOOPBACK = ("127.", "localhost", "::1")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and not str(address[0]).startswith(LOOPBACK):
            raise AssertionError(f"a test tried to reach {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def essays(tmp_path: Path) -> Path:
    """A folder of twelve dated essays."""
    folder = tmp_path / "essays"
    write_essays(folder, 12)
    return folder
