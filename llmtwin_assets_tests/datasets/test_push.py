"""Training data on a hub: what goes up, what has to be true before, and that twice is once."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from llmtwin_assets.cli import app
from llmtwin_assets.datasets.checks import no_secrets
from llmtwin_assets.datasets.push import MayNotBePushedError, push
from llmtwin_assets_tests.datasets.rows import frame, row
from llmtwin_assets_tests.datasets.test_dataset_assets import made, world  # noqa: F401
from llmtwin_assets_tests.graph import World
from llmtwin_assets_tests.hub_server import Hub, hub
from llmtwin_assets_tests.resources.test_hub import run
from resources.hub import NoRepositoryError, repository_of

PUSH = "from llmtwin_assets.cli import app\napp()"
ROWS = frame(row(1), row(2), row(3, split="held-out"))
FACTS = {
    "unmasked": 0,
    "dropped": {},
    "figures": {},
    "code": "c",
    "languages": {"train": {"en": 9}, "held-out": {}},
}


@pytest.fixture
def loopback() -> Iterator[Hub]:
    with hub() as running:
        yield running


def document(number: int, **facts: Any) -> dict[str, Any]:
    return {"id": f"d{number}", "source": "folder", "licence": "CC-BY-4.0", **facts}


def refused(rows: Any = ROWS, public: bool = False, unmasked: int = 0, **facts: Any) -> str:
    """Why rows of three documents, one of which has these facts, do not go up."""
    documents = [document(1), document(2), document(3, **facts)]
    with pytest.raises(MayNotBePushedError) as error:
        push(
            rows,
            "me/x",
            "Ada",
            "d1g",
            FACTS | {"unmasked": unmasked},
            documents,
            [no_secrets],
            public,
        )
    return str(error.value)


def test_what_a_gate_or_the_author_does_not_allow_stays_here() -> None:
    assert "a gate is closed (2 hold what should be masked)" in refused(unmasked=2)
    for closed in ({"consent": "paid"}, {"visibility": "members"}, {"visibility": "paid"}):
        assert "1 of its documents are not public" in refused(**closed)
    assert "1 of its documents are not stored any more" in refused(frame(row(1), row(8)))


def test_anybody_reads_only_what_a_licence_gives_them() -> None:
    for kept in (None, "", "All rights reserved", "CC-BY-NC-4.0", "cc by-nd 4.0", "Mitigated"):
        assert "1 documents and 0 rows of others have no licence" in refused(
            public=True, licence=kept
        )
    general = frame(row(1), row(5, origin="general"))
    assert "0 documents and 1 rows of others" in refused(general, public=True)


def test_a_push_needs_a_repository() -> None:
    with pytest.raises(NoRepositoryError, match="Set LLMTWIN_HUB_DATASET"):
        repository_of("ada", "", "LLMTWIN_HUB_DATASET")
    assert repository_of("ada", "me/{author}-pairs", "X") == "me/ada-pairs"


def test_it_goes_up_once_private_and_is_what_datasets_loads(
    world: World,  # noqa: F811
    loopback: Hub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    version = made(world)
    monkeypatch.setenv("LLMTWIN_HOME", str(world.settings.home))
    monkeypatch.setenv("LLMTWIN_AUTHORS", str(world.settings.authors_file))
    monkeypatch.setenv("LLMTWIN_HUB_DATASET", "me/{author}-pairs")
    monkeypatch.setenv("DAGSTER_HOME", "x")
    asked = ["dataset", "push", "ada", "--public"]
    shown = CliRunner().invoke(app, asked)
    assert (shown.exit_code, loopback.commits) == (1, {})
    assert "8 documents and 0 rows of others have no licence" in " ".join(shown.stderr.split())

    def pushed() -> str:
        said = run(PUSH, loopback.url, tmp_path / "hf", "dataset", "push", "ada")
        return said.rpartition(" ")[2]

    revision = pushed()
    assert loopback.private == {"me/ada-pairs": True}
    assert loopback.kinds == {"me/ada-pairs": "dataset"}
    files = loopback.commits[revision]
    assert set(files) == {"README.md", "train.parquet", "held_out.parquet"}
    assert version.digest in files["README.md"].decode("utf-8")
    uploads = loopback.uploads
    assert pushed() == revision
    assert (len(loopback.commits), loopback.uploads) == (1, uploads)
    for name, data in files.items():
        (tmp_path / "down").mkdir(exist_ok=True)
        (tmp_path / "down" / name).write_bytes(data)
    from datasets import load_dataset

    loaded = load_dataset(str(tmp_path / "down"), cache_dir=str(tmp_path / "cache"))
    assert loaded["train"].num_rows == version.facts["train"]
    assert loaded["held_out"].num_rows == version.facts["rows"] - version.facts["train"]
