import os
import resource
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from resources.artifacts import (
    ArtifactStore,
    BadNameError,
    DamagedArtifactError,
    NoRoomError,
    open_artifacts,
)
from resources.errors import UnknownSchemeError

MIB = 1 << 20


def fill(text: str):
    def build(folder: Path) -> dict[str, str]:
        (folder / "data.txt").write_text(text)
        return {"text": text}

    return build


def test_a_published_version_is_current_with_its_facts(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    version = store.publish("ada", "chunks", "d1", fill("one"))
    assert version.facts == {"text": "one"}
    assert store.current("ada", "chunks") == version
    assert version.file("data.txt").read_text() == "one"


def test_a_stored_version_is_not_built_again(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    store.publish("ada", "chunks", "d1", fill("one"))

    def build(folder: Path) -> dict[str, str]:
        raise AssertionError("built twice")

    assert store.publish("ada", "chunks", "d1", build).facts == {"text": "one"}


def test_the_pointer_remembers_the_version_before(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    for digest in ("d1", "d2"):
        store.publish("ada", "endpoint", digest, fill(digest))
    previous = store.previous("ada", "endpoint")
    assert previous is not None
    assert previous.digest == "d1"
    store.point("ada", "endpoint", "d1")
    current, previous = store.current("ada", "endpoint"), store.previous("ada", "endpoint")
    assert current is not None
    assert previous is not None
    assert (current.digest, previous.digest) == ("d1", "d2")


def test_pruning_keeps_the_current_and_the_previous_version(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    for digest in ("d1", "d2", "d3"):
        store.publish("ada", "chunks", digest, fill(digest))
    (store.work("ada", "chunks", "d0") / "half").write_text("…")
    assert store.prune("ada", "chunks") == ["d1"]
    assert sorted(p.name for p in (tmp_path / "ada" / "chunks").iterdir() if p.is_dir()) == [
        "d2",
        "d3",
    ]


def test_a_build_that_fails_leaves_the_current_version(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    store.publish("ada", "chunks", "d1", fill("one"))

    def build(folder: Path) -> dict[str, str]:
        (folder / "half").write_text("…")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        store.publish("ada", "chunks", "d2", build)
    current = store.current("ada", "chunks")
    assert current is not None
    assert current.digest == "d1"
    assert [p.name for p in (tmp_path / "ada" / "chunks").iterdir()] != []
    assert not list((tmp_path / "ada" / "chunks").glob(".d2-*"))


def test_a_full_disk_is_a_clear_error_and_loses_nothing(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    store.publish("ada", "sft_checkpoint", "d1", fill("one"))

    def build(folder: Path) -> dict[str, str]:
        (folder / "weights").write_bytes(b"x" * 2 * MIB)
        return {}

    # A limit on file sizes makes the kernel refuse the write as a full disk does.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, hard))
    try:
        with pytest.raises(NoRoomError) as refusal:
            store.publish("ada", "sft_checkpoint", "d2", build)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "sft_checkpoint of ada" in str(refusal.value)
    assert "LLMTWIN_ARTIFACTS_URL" in str(refusal.value)
    current = store.current("ada", "sft_checkpoint")
    assert current is not None
    assert current.file("data.txt").read_text() == "one"
    assert not list(tmp_path.glob("ada/sft_checkpoint/.d2-*"))


def test_a_killed_build_leaves_the_old_version_and_can_be_tried_again(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    store.publish("ada", "chunks", "d1", fill("one"))
    script = textwrap.dedent(
        f"""
        import sys, time
        from pathlib import Path
        from resources.artifacts import ArtifactStore
        def build(folder):
            (folder / "data.txt").write_text("half")
            print("building", flush=True)
            time.sleep(60)
        ArtifactStore(Path({str(tmp_path)!r})).publish("ada", "chunks", "d2", build)
        """
    )
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "building\n"
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    current = store.current("ada", "chunks")
    assert current is not None
    assert current.digest == "d1"
    assert store.publish("ada", "chunks", "d2", fill("two")).file("data.txt").read_text() == "two"
    assert not list(tmp_path.glob("ada/chunks/.d2-*"))


@pytest.mark.parametrize("damage", [lambda p: p.write_text("0ne"), lambda p: p.unlink()])
def test_a_changed_or_missing_file_is_found(tmp_path: Path, damage) -> None:
    store = ArtifactStore(tmp_path)
    version = store.publish("ada", "chunks", "d1", fill("one"))
    store.verify(version)
    damage(version.path / "data.txt")
    with pytest.raises(DamagedArtifactError, match="Materialise chunks of ada again"):
        store.verify(version)


@pytest.mark.parametrize("name", ["../bob", "", "Ada", "a/b", ".hidden", "a" * 99])
def test_names_cannot_leave_their_directory(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadNameError):
        ArtifactStore(tmp_path).publish(name, "chunks", "d1", fill("one"))
    with pytest.raises(BadNameError):
        ArtifactStore(tmp_path).current("ada", name)


def test_an_unknown_url_scheme_names_the_known_ones() -> None:
    with pytest.raises(UnknownSchemeError, match="file:///"):
        open_artifacts("ftp://example/x")
