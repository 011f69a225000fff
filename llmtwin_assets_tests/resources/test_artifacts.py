import os
import resource
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llmtwin_assets_tests.aws_server import BUCKET, aws_server, client
from resources.artifacts import (
    ArtifactStore,
    BadNameError,
    DamagedArtifactError,
    NoRoomError,
    open_artifacts,
)
from resources.artifacts_s3 import S3Artifacts
from resources.errors import UnknownSchemeError
from resources.s3 import BucketError

MIB = 1 << 20


def fill(text: str):
    def build(folder: Path) -> dict[str, str]:
        (folder / "data.txt").write_text(text)
        return {"text": text}

    return build


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    with aws_server() as address:
        yield address


@pytest.fixture
def bucket(aws: str, tmp_path: Path) -> str:
    """The URL of an empty store in a bucket."""
    return f"s3://{BUCKET}/{tmp_path.name}"


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    """The contract holds for both."""
    if request.param == "folder":
        return ArtifactStore(tmp_path)
    return S3Artifacts(request.getfixturevalue("bucket"), tmp_path)


def test_a_published_version_is_current_with_its_facts(store: ArtifactStore) -> None:
    version = store.publish("ada", "chunks", "d1", fill("one"))
    assert version.facts == {"text": "one"}
    assert store.current("ada", "chunks") == version
    assert version.file("data.txt").read_text() == "one"


def test_a_stored_version_is_not_built_again(store: ArtifactStore) -> None:
    store.publish("ada", "chunks", "d1", fill("one"))

    def build(folder: Path) -> dict[str, str]:
        raise AssertionError("built twice")

    assert store.publish("ada", "chunks", "d1", build).facts == {"text": "one"}


def test_the_pointer_remembers_the_version_before(store: ArtifactStore) -> None:
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


def test_pruning_keeps_the_current_and_the_previous_version(store: ArtifactStore) -> None:
    for digest in ("d1", "d2", "d3"):
        store.publish("ada", "chunks", digest, fill(digest))
    (store.work("ada", "chunks", "d0") / "half").write_text("…")
    assert store.prune("ada", "chunks") == ["d1"]
    assert sorted(p.name for p in (store.root / "ada" / "chunks").iterdir() if p.is_dir()) == [
        "d2",
        "d3",
    ]


def test_a_build_that_fails_leaves_the_current_version(store: ArtifactStore) -> None:
    store.publish("ada", "chunks", "d1", fill("one"))

    def build(folder: Path) -> dict[str, str]:
        (folder / "half").write_text("…")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        store.publish("ada", "chunks", "d2", build)
    current = store.current("ada", "chunks")
    assert current is not None
    assert current.digest == "d1"
    assert not list((store.root / "ada" / "chunks").glob(".d2-*"))


def test_a_full_disk_is_a_clear_error_and_loses_nothing(store: ArtifactStore) -> None:
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
    assert not list(store.root.glob("ada/sft_checkpoint/.d2-*"))


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
def test_a_changed_or_missing_file_is_found(store: ArtifactStore, damage) -> None:
    version = store.publish("ada", "chunks", "d1", fill("one"))
    store.verify(version)
    damage(version.path / "data.txt")
    with pytest.raises(DamagedArtifactError, match="Materialise chunks of ada again"):
        store.verify(version)


@pytest.mark.parametrize("name", ["../bob", "", "Ada", "a/b", ".hidden", "a" * 99])
def test_names_cannot_leave_their_directory(store: ArtifactStore, name: str) -> None:
    with pytest.raises(BadNameError):
        store.publish(name, "chunks", "d1", fill("one"))
    with pytest.raises(BadNameError):
        store.current("ada", name)


def test_an_unknown_url_scheme_names_the_known_ones() -> None:
    with pytest.raises(UnknownSchemeError, match="file:///"):
        open_artifacts("ftp://example/x")


def test_what_was_taken_back_and_what_was_noted_is_remembered(store: ArtifactStore) -> None:
    for digest in ("d1", "d2"):
        store.publish("ada", "endpoint", digest, fill(digest))
        store.note("ada", "endpoint", {"digest": digest})
    store.note("ada", "endpoint", {"digest": "d2"})
    back = store.withdraw("ada", "endpoint")
    assert back is not None
    assert back.digest == "d1"
    assert store.withdrawn("ada", "endpoint") == ["d2"]
    assert store.history("ada", "endpoint") == [{"digest": "d1"}, {"digest": "d2"}]
    assert store.history("bob", "endpoint") == []


def test_authors_are_those_with_a_current_version(store: ArtifactStore) -> None:
    for author in ("bob", "ada"):
        store.publish(author, "chunks", "d1", fill(author))
    store.publish("cleo", "endpoint", "d1", fill("cleo"))
    assert store.authors("chunks") == ["ada", "bob"]


def test_a_forgotten_version_is_built_again(store: ArtifactStore) -> None:
    store.publish("ada", "chunks", "d1", fill("one"))
    store.forget("ada", "chunks", "d1")
    assert store.version("ada", "chunks", "d1") is None
    again = store.publish("ada", "chunks", "d1", fill("other"))
    assert again.file("data.txt").read_text() == "other"


def test_another_machine_reads_what_one_has_built(bucket: str, tmp_path: Path) -> None:
    one, other = S3Artifacts(bucket, tmp_path / "one"), S3Artifacts(bucket, tmp_path / "other")
    version = one.publish("ada", "chunks", "d1", fill("one"))
    read = other.current("ada", "chunks")
    assert read is not None
    assert (read.facts, read.made) == (version.facts, version.made)
    assert not read.folder.exists()  # nothing is fetched before it is asked for
    assert read.file("data.txt").read_text() == "one"
    other.verify(read)


def test_a_machine_keeps_only_what_is_in_use(bucket: str, tmp_path: Path) -> None:
    one, other = S3Artifacts(bucket, tmp_path / "one"), S3Artifacts(bucket, tmp_path / "other")
    for digest in ("d1", "d2", "d3"):
        one.publish("ada", "chunks", digest, fill(digest))
        read = other.current("ada", "chunks")
        assert read is not None
        assert read.file("data.txt").read_text() == digest
    assert sorted(p.name for p in (tmp_path / "other/ada/chunks").iterdir()) == ["d2", "d3"]


def test_a_version_that_was_made_again_is_fetched_again(bucket: str, tmp_path: Path) -> None:
    one, other = S3Artifacts(bucket, tmp_path / "one"), S3Artifacts(bucket, tmp_path / "other")
    for text in ("first", "second"):
        one.forget("ada", "chunks", "d1")
        one.publish("ada", "chunks", "d1", fill(text))
        read = other.current("ada", "chunks")
        assert read is not None
        assert read.file("data.txt").read_text() == text


@pytest.mark.parametrize("size", [0, 1, 50, 99])
def test_a_truncated_object_is_refused(bucket: str, tmp_path: Path, size: int) -> None:
    one, other = S3Artifacts(bucket, tmp_path / "one"), S3Artifacts(bucket, tmp_path / "other")
    version = one.publish("ada", "sft_checkpoint", "d1", fill("x" * 100))
    key = f"{one.bucket.prefix}ada/sft_checkpoint/d1/data.txt"
    client("s3").put_object(Bucket=BUCKET, Key=key, Body=b"x" * size)
    read = other.current("ada", "sft_checkpoint")
    assert read is not None
    for _ in range(2):  # it is not there the second time either
        with pytest.raises(DamagedArtifactError, match=r"Materialise sft_checkpoint of ada again"):
            read.file("data.txt")
    with pytest.raises(DamagedArtifactError, match=r"data.txt"):
        one.verify(version)


def test_a_changed_and_a_missing_object_are_refused(bucket: str, tmp_path: Path) -> None:
    one = S3Artifacts(bucket, tmp_path / "one")
    one.publish("ada", "chunks", "d1", fill("one"))
    key = f"{one.bucket.prefix}ada/chunks/d1/data.txt"
    changes: list[Callable[[], object]] = [
        lambda: client("s3").put_object(Bucket=BUCKET, Key=key, Body=b"0ne"),
        lambda: client("s3").delete_object(Bucket=BUCKET, Key=key),
    ]
    for number, change in enumerate(changes):
        change()
        read = S3Artifacts(bucket, tmp_path / f"other-{number}").current("ada", "chunks")
        assert read is not None
        with pytest.raises(DamagedArtifactError):
            read.file("data.txt")


def test_an_upload_that_broke_off_is_no_version(bucket: str, tmp_path: Path) -> None:
    store = S3Artifacts(bucket, tmp_path)
    store.publish("ada", "chunks", "d1", fill("one"))
    store.bucket.write("ada/chunks/d2/data.txt", b"tw")  # the manifest comes last
    assert store.version("ada", "chunks", "d2") is None
    current = store.current("ada", "chunks")
    assert current is not None
    assert current.digest == "d1"
    assert store.publish("ada", "chunks", "d2", fill("two")).file("data.txt").read_text() == "two"


def test_a_manifest_cannot_write_outside_its_folder(bucket: str, tmp_path: Path) -> None:
    one, other = S3Artifacts(bucket, tmp_path / "one"), S3Artifacts(bucket, tmp_path / "other")
    one.publish("ada", "chunks", "d1", fill("one"))
    found = one.bucket.read("ada/chunks/d1/manifest.json")
    assert found is not None
    one.bucket.write(
        "ada/chunks/d1/manifest.json", found.data.replace(b"data.txt", b"../../data.txt")
    )
    read = other.current("ada", "chunks")
    assert read is not None
    with pytest.raises(DamagedArtifactError, match="it leaves its folder"):
        read.file("data.txt")
    assert not list((tmp_path / "other").rglob("data.txt"))


def test_a_bucket_that_is_not_there_is_a_clear_error_without_secrets(
    aws: str, tmp_path: Path
) -> None:
    with pytest.raises(BucketError) as refusal:
        S3Artifacts("s3://nowhere-at-all/x", tmp_path).current("ada", "chunks")
    assert "s3://nowhere-at-all/x/.current/chunks/ada.json" in str(refusal.value)
    assert "NoSuchBucket" in str(refusal.value)
    assert "a-secret-of-nobody" not in str(refusal.value)


def test_a_store_that_cannot_be_reached_is_a_clear_error(
    aws: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(BucketError, match="AWS_ENDPOINT_URL"):
        S3Artifacts(f"s3://{BUCKET}/x", tmp_path).publish("ada", "chunks", "d1", fill("one"))


def test_a_url_opens_a_store_in_a_bucket(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    store = open_artifacts(bucket)
    version = store.publish("ada", "chunks", "d1", fill("one"))
    assert version.path.is_relative_to(tmp_path / "llm-twin" / BUCKET)
    with pytest.raises(BucketError, match="s3://bucket/prefix"):
        open_artifacts("s3:///x")
