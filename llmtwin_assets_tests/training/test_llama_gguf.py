"""The GGUF file says what the safetensors say."""

import json
import shutil
from pathlib import Path

import pytest

from llmtwin_assets.training import formats, llama_gguf, models


@pytest.mark.parametrize(("form", "tolerance"), [("F16", 2e-4), ("Q8_0", 2e-2), ("Q4_0", 0.2)])
def test_every_weight_reads_back_as_it_was(
    tiny: Path, tmp_path: Path, form: llama_gguf.Format, tolerance: float
) -> None:
    shutil.copytree(tiny, tmp_path / "q")
    (tmp_path / "q" / "model.safetensors").unlink()
    llama_gguf.export(tiny, tmp_path / "q" / models.QUANTISED, "tiny", form)
    before, after = models.load(tiny)[0].state_dict(), models.load(tmp_path / "q")[0].state_dict()
    assert before.keys() == after.keys()
    for name, weight in before.items():
        scale = float(weight.abs().max())
        assert float((weight - after[name]).abs().max()) <= tolerance * scale, name


def test_norms_keep_full_precision_and_matrices_take_eight_bits(tiny: Path, tmp_path: Path) -> None:
    from gguf import GGMLQuantizationType, GGUFReader

    llama_gguf.export(tiny, tmp_path / "m.gguf", "tiny")
    kinds = {
        tensor.name: GGMLQuantizationType(tensor.tensor_type).name
        for tensor in GGUFReader(tmp_path / "m.gguf").tensors
    }
    assert {kind for name, kind in kinds.items() if "norm" in name} == {"F32"}
    assert {kind for name, kind in kinds.items() if "norm" not in name} == {"Q8_0"}
    assert "output.weight" not in kinds  # tied to the embedding


def test_the_tokenizer_in_the_file_cuts_text_as_the_original(tiny: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    llama_gguf.export(tiny, tmp_path / "m.gguf", "tiny")
    shutil.copyfile(tiny / "config.json", tmp_path / "config.json")
    inside = AutoTokenizer.from_pretrained(str(tmp_path), gguf_file="m.gguf")
    original = models.tokenizer_of(tiny)
    text = "<|im_start|>user\nLiberty, the union of 1787, and façades!<|im_end|>"
    assert models.encode(inside, text) == models.encode(original, text)
    assert inside.chat_template == original.chat_template
    assert inside.eos_token_id == original.eos_token_id


@pytest.mark.parametrize("name", ["alpaca", "chatml", "mistral"])
def test_the_template_in_the_file_is_plain_jinja_that_writes_the_same(
    tiny: Path, tmp_path: Path, name: str
) -> None:
    from gguf import GGUFReader
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    from llmtwin_assets import prompts

    tokenizer = models.tokenizer_of(tiny)
    prompts.use_template(tokenizer, name)
    directory = Path(shutil.copytree(tiny, tmp_path / "model"))
    tokenizer.save_pretrained(directory)
    llama_gguf.export(directory, tmp_path / "m.gguf", "tiny")
    stored = GGUFReader(tmp_path / "m.gguf").fields["tokenizer.chat_template"].contents()
    chat = [*prompts.messages("Ada", "Hello."), {"role": "assistant", "content": "Good day."}]
    plain = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    written = plain.from_string(stored).render(
        messages=chat, bos_token=tokenizer.bos_token, eos_token=tokenizer.eos_token
    )
    assert written == tokenizer.apply_chat_template(chat, tokenize=False)


def test_rotary_pairs_come_side_by_side() -> None:
    import numpy as np

    weight = np.arange(8, dtype=np.float32).reshape(8, 1)
    assert llama_gguf.interleave(weight, 2)[:, 0].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model_type", "qwen3"),
        ("attention_bias", True),
        ("rope_parameters", {"rope_type": "yarn", "rope_theta": 1e4}),
    ],
)
def test_what_would_be_written_wrongly_is_refused(
    tiny: Path, tmp_path: Path, field: str, value: object
) -> None:
    shutil.copytree(tiny, tmp_path / "other")
    path = tmp_path / "other" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
    with pytest.raises(llama_gguf.UnsupportedModelError):
        formats.write(tmp_path / "other", tmp_path / "q", "other")
    assert not list((tmp_path / "q").glob("*.gguf"))


def test_llama_3s_long_context_factors_slow_long_waves_only() -> None:
    factors = llama_gguf._llama3_factors(
        {
            "hidden_size": 4096,
            "num_attention_heads": 32,
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 500_000.0,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 8192,
            },
        }
    )
    assert factors.shape == (64,)
    assert factors[0] == pytest.approx(1.0)
    assert factors[-1] == pytest.approx(8.0)
