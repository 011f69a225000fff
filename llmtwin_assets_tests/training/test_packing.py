"""Packed rows: nothing lost, little wasted, and none sees another."""

import random
from pathlib import Path
from typing import Any

import pytest

from llmtwin_assets.training import models, packing

LENGTHS = random.Random(5).choices(range(20, 600), k=300)


def test_every_row_is_in_one_pack_and_no_pack_is_over_full() -> None:
    packs = packing.pack(range(300), LENGTHS, 2048)
    assert sorted(row for pack in packs for row in pack) == list(range(300))
    assert max(sum(LENGTHS[row] for row in pack) for pack in packs) <= 2048


def test_packing_wastes_less_than_a_fiftieth() -> None:
    packs = packing.pack(range(300), LENGTHS, 2048)
    assert sum(LENGTHS) / (len(packs) * 2048) > 0.98


def test_a_row_longer_than_the_room_stands_alone() -> None:
    assert packing.pack([0, 1, 2], [9, 30, 8], 20) == [[1], [0, 2]]


@pytest.mark.parametrize("patched", [False, True], ids=["the trainer's head", "the lean head"])
def test_a_packed_row_has_the_loss_and_gradient_that_it_has_alone(
    tiny: Path, tmp_path: Path, patched: bool
) -> None:
    import torch

    rows = [
        {
            "input_ids": list(range(start, start + size)),
            "labels": [-100] * 4 + list(range(size - 4)),
        }
        for start, size in ((10, 30), (90, 17), (200, 41))
    ]
    found = []
    for packed in (False, True):
        trainer = _trainer(tiny, tmp_path, [packing.join(rows)] if packed else rows, packed)
        if patched:
            from llmtwin_assets.training import loop

            loop.lean_head(trainer)
        batch = trainer.data_collator(list(trainer.train_dataset))
        loss = trainer.compute_loss(trainer.model, batch)
        loss.backward()
        weight = trainer.model.model.layers[0].self_attn.q_proj.weight
        found.append((loss.item(), weight.grad.clone()))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    assert torch.allclose(found[0][1], found[1][1], atol=1e-6)


def _trainer(tiny: Path, work: Path, rows: list[dict[str, Any]], packed: bool) -> Any:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    model, tokenizer = models.load(tiny)
    return SFTTrainer(
        model=model,
        args=SFTConfig(
            output_dir=str(work),
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            packing=packed,
            max_length=None,
            dataset_kwargs={"skip_prepare_dataset": True},
            report_to="none",
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )
