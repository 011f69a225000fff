"""Gates of the training room."""

import math
from statistics import fmean

import dagster as dg

from llmtwin_assets.authors import authors_partition
from llmtwin_assets.steps import Facts, Verdict, current, gate
from llmtwin_assets.training.assets import (
    dpo_checkpoint,
    preference_dataset,
    quantized_checkpoint,
    sft_checkpoint,
)
from resources.artifacts import ArtifactStore, DamagedArtifactError

FEWEST_PAIRS = 4
UNBALANCED = 0.05  # share of words by which chosen and rejected texts may differ
QUANTISATION_COST = 0.05  # nats per token


def loss_decreased(facts: Facts) -> Verdict:
    """The loss of the last quarter of the steps is below that of the first quarter."""
    losses = [loss for _, loss in facts["loss"]]
    quarter = max(1, len(losses) // 4)
    first, last = fmean(losses[:quarter]), fmean(losses[-quarter:])
    return Verdict(
        all(map(math.isfinite, losses)) and last < first,
        f"from {first:.3f} to {last:.3f} in {len(losses)} steps",
    )


def chosen_is_verbatim(facts: Facts) -> Verdict:
    """Every chosen text whose origin is the author is a verbatim span of their cleaned text."""
    return Verdict(
        facts["verbatim"] == facts["authored"],
        f"{facts['verbatim']} of {facts['authored']} verbatim",
    )


def no_held_out_pairs(facts: Facts) -> Verdict:
    """No pair comes from a held-out document or prefers eight words in a row of one."""
    return Verdict(facts["held_out"] == 0, f"{facts['held_out']} pairs from held-out documents")


def sides_differ(facts: Facts) -> Verdict:
    """No pair prefers a text over itself, and none stands twice."""
    return Verdict(
        facts["same"] == facts["duplicates"] == 0,
        f"{facts['same']} with equal sides, {facts['duplicates']} duplicates",
    )


def length_decides_nothing(facts: Facts) -> Verdict:
    """Chosen and rejected texts have the same number of words, within a twentieth."""
    chosen, rejected = facts["words_chosen"], facts["words_rejected"]
    return Verdict(
        abs(chosen - rejected) <= UNBALANCED * max(chosen, rejected),
        f"{chosen:.1f} words chosen, {rejected:.1f} rejected",
    )


def enough_pairs(facts: Facts) -> Verdict:
    """At least four pairs are left after the filters."""
    return Verdict(
        facts["rows"] >= FEWEST_PAIRS,
        f"{facts['rows']} pairs; the counts above say why others were dropped",
    )


def preferences_were_learned(facts: Facts) -> Verdict:
    """The author's text is preferred after training: the last reward margin is above 0."""
    margin = facts["margins"][-1][1]
    finite = all(math.isfinite(loss) for _, loss in facts["loss"])
    return Verdict(finite and margin > 0, f"reward margin {margin:.3f}")


def quantisation_costs_little(facts: Facts) -> Verdict:
    """Quantisation costs at most 0.05 nats per held-out token."""
    cost = facts["nats"] - facts["nats_before"]
    return Verdict(cost <= QUANTISATION_COST, f"it costs {cost:.4f} nats per token")


def quantisation_saves_room(facts: Facts) -> Verdict:
    """Quantised weights take less room than the weights before; 16-bit formats no more."""
    share = facts["bytes"] / facts["bytes_before"]
    return Verdict(share < 1.05, f"they take {share:.0%} of the bytes")


def _whole_files(asset: dg.AssetsDefinition) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=asset,
        name="files_are_whole",
        description="Every file of the checkpoint is as it was written, by its SHA-256.",
        blocking=True,
        partitions_def=authors_partition,
    )
    def files_are_whole(
        context: dg.AssetCheckExecutionContext, artifacts: dg.ResourceParam[ArtifactStore]
    ) -> dg.AssetCheckResult:
        version = current(artifacts, context.partition_key, asset.key.path[-1])
        try:
            artifacts.verify(version)
        except DamagedArtifactError as error:
            return dg.AssetCheckResult(passed=False, description=str(error))
        return dg.AssetCheckResult(passed=True, description="all files are whole")

    return files_are_whole


checks = [
    gate(sft_checkpoint)(loss_decreased),
    *map(
        gate(preference_dataset),
        (
            chosen_is_verbatim,
            no_held_out_pairs,
            sides_differ,
            length_decides_nothing,
            enough_pairs,
        ),
    ),
    gate(dpo_checkpoint)(preferences_were_learned),
    *map(gate(quantized_checkpoint), (quantisation_costs_little, quantisation_saves_room)),
    *map(_whole_files, (sft_checkpoint, dpo_checkpoint, quantized_checkpoint)),
]
