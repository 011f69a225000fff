"""What only a Qdrant server has: an address, a key, quantisation, other people's collections."""

import time

import pytest
from qdrant_client import QdrantClient, models

from llmtwin_assets_tests.resources import qdrant_server
from llmtwin_assets_tests.resources.test_vectors import SIZE, numbers, point, unit
from resources.vectors import open_vectors
from resources.vectors_server import VectorServerError, _config, _payload_indexes


def test_the_key_is_the_password_of_the_url_and_never_shown() -> None:
    with qdrant_server.running(key="s3cret") as url:
        address = url.removeprefix("http://")
        store = open_vectors(f"http://:s3cret@{address}")
        store.build("ada", "v1", SIZE, [point(1)])
        assert store.count("ada") == 1
        with pytest.raises(VectorServerError, match="status 401") as refused:
            open_vectors(f"http://:wr0ng@{address}").search("ada", [unit(1)], 1)
        assert "wr0ng" not in str(refused.value)


def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(VectorServerError, match=r"127\.0\.0\.1:9.* cannot be reached"):
        open_vectors("http://127.0.0.1:9").search("ada", [unit(1)], 1)


def test_quantisation_is_a_setting_and_others_are_refused() -> None:
    assert _config(SIZE, "")["quantization_config"] is None
    scalar = _config(SIZE, "int8")["quantization_config"]
    assert scalar.scalar.type == models.ScalarType.INT8
    assert _config(SIZE, "binary")["quantization_config"].binary.always_ram
    with pytest.raises(VectorServerError, match="int8"):
        open_vectors("http://127.0.0.1:9?quantization=int9")


def test_the_author_is_the_tenant_of_the_payload_indexes() -> None:
    indexes = _payload_indexes()
    assert indexes["author"].is_tenant
    assert {*indexes} == {"author", "split", "kind", "platform", "published"}


def test_only_what_killed_builds_left_is_removed() -> None:
    with qdrant_server.running() as url:
        store, client = open_vectors(url), QdrantClient(url=url, check_compatibility=False)
        config = _config(SIZE, "")
        now, old = int(time.time()), int(time.time()) - 100_000
        for name in (f"llmtwin~ada~v0~{old}-aa", f"llmtwin~ada~v0~{now}-bb",
                     f"llmtwin~adam~v0~{old}-cc", "someone-elses"):  # fmt: skip
            client.create_collection(name, **config)
        for version in ("v1", "v2", "v3"):
            store.build("ada", version, SIZE, [point(n) for n in range(3)])
        names = {c.name for c in client.get_collections().collections}
        assert {name.rsplit("~", 1)[0] for name in names} == {
            "llmtwin~ada~v0", "llmtwin~ada~v2", "llmtwin~ada~v3", "llmtwin~adam~v0",
            "someone-elses",
        }  # fmt: skip
        assert [name for name in names if "~ada~v0" in name] == [f"llmtwin~ada~v0~{now}-bb"]
        assert numbers(store.search("ada", [unit(2)], 1)[0]) == [2]
