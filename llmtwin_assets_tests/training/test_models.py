"""Loading, measuring and writing with a model."""

import shutil
from pathlib import Path

import pytest

from llmtwin_assets.training import formats, models
from resources.base_model import BaseModelDamagedError, BaseModelMissingError

PROMPT = "You are a writer. Write about the union."


def test_the_measure_equals_the_models_own_loss(tiny: Path) -> None:
    import torch

    model, tokenizer = models.load(tiny)
    text = "Ambition must be made to counteract ambition."
    head, tail = models.encode(tokenizer, PROMPT), models.encode(tokenizer, text)
    ids = torch.tensor([head + tail])
    labels = torch.tensor([[-100] * len(head) + tail])
    with torch.no_grad():
        loss = model(input_ids=ids, labels=labels).loss.item()
    [(nats, tokens)] = models.nats_per_token(model, tokenizer, [PROMPT], [text])
    assert tokens == len(tail)
    assert nats / tokens == pytest.approx(loss, rel=1e-5)


def test_a_text_measures_the_same_alone_and_beside_longer_ones(tiny: Path) -> None:
    model, tokenizer = models.load(tiny)
    texts = ["liberty", "the rights of the place " * 9, "few and defined, numerous"]
    together = models.nats_per_token(model, tokenizer, [PROMPT] * 3, texts, batch_size=3)
    alone = [models.nats_per_token(model, tokenizer, [PROMPT], [text])[0] for text in texts]
    assert [nats for nats, _ in together] == pytest.approx([nats for nats, _ in alone], rel=1e-4)
    assert [tokens for _, tokens in together] == [tokens for _, tokens in alone]


def test_nothing_to_measure_is_refused(tiny: Path) -> None:
    model, tokenizer = models.load(tiny)
    with pytest.raises(models.EmptyMeasureError):
        models.nats_per_token(model, tokenizer, [], [])


def test_the_same_seed_writes_the_same_text_and_another_seed_another(tiny: Path) -> None:
    model, tokenizer = models.load(tiny)

    def write(seed: int) -> list[str]:
        return models.generate(
            model, tokenizer, [PROMPT, "Liberty"], max_new_tokens=12, seed=seed, batch_size=2
        )

    assert write(1) == write(1)
    assert write(1) != write(2)


def test_sampling_leaves_torchs_own_random_numbers_alone(tiny: Path) -> None:
    import torch

    model, tokenizer = models.load(tiny)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    models.generate(model, tokenizer, [PROMPT], max_new_tokens=3, seed=1)
    assert torch.equal(torch.rand(1), expected)


def test_padding_on_the_left_does_not_change_the_likeliest_text(tiny: Path) -> None:
    model, tokenizer = models.load(tiny)
    both = models.generate(
        model, tokenizer, ["Liberty", PROMPT * 3], max_new_tokens=8, temperature=0
    )
    alone = models.generate(model, tokenizer, ["Liberty"], max_new_tokens=8, temperature=0)
    assert both[:1] == alone


def test_a_text_is_never_longer_than_its_own_limit(tiny: Path) -> None:
    model, tokenizer = models.load(tiny)
    texts = models.generate(
        model, tokenizer, [PROMPT, PROMPT], max_new_tokens=[2, 20], temperature=0
    )
    assert texts[1].startswith(texts[0].rstrip("�"))
    assert len(texts[0]) < len(texts[1])


def test_a_quantised_directory_loads_like_any_other(tiny: Path, tmp_path: Path) -> None:
    formats.write(tiny, tmp_path / "q8", "tiny")
    model, tokenizer = models.load(tmp_path / "q8")
    texts = models.generate(model, tokenizer, [PROMPT], max_new_tokens=4, temperature=0)
    assert len(texts) == 1


@pytest.mark.parametrize("tenth", range(10))
@pytest.mark.parametrize("kind", ["safetensors", "gguf"])
def test_a_cut_model_file_is_refused_wherever_it_is_cut(
    tiny: Path, tmp_path: Path, kind: str, tenth: int
) -> None:
    directory = tmp_path / "model"
    if kind == "gguf":
        formats.write(tiny, directory, "tiny")
    else:
        shutil.copytree(tiny, directory)
    [path] = directory.glob(f"*.{kind}")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * tenth // 10])
    with pytest.raises(BaseModelDamagedError, match=path.name):
        models.load(directory)


def test_an_empty_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BaseModelMissingError):
        models.load(tmp_path)


def test_weights_that_are_not_in_the_files_are_not_made_up(tiny: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    directory = Path(shutil.copytree(tiny, tmp_path / "model"))
    weights = load_file(directory / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, directory / "model.safetensors", {"format": "pt"})
    with pytest.raises(BaseModelDamagedError, match="1 of its weights are not in its files"):
        models.load(directory)


def test_a_model_without_a_chat_template_is_asked_in_alpacas(tiny: Path, tmp_path: Path) -> None:
    directory = Path(shutil.copytree(tiny, tmp_path / "model"))
    (directory / "chat_template.jinja").unlink()
    assert "### Instruction:" in models.tokenizer_of(directory).chat_template
