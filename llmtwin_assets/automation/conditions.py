"""When an asset is made by itself.

Features, data sets and reports follow content at once: when what they are made of has really
changed (its data version, not its timestamp) and every blocking check upstream has passed.
Training costs hours, so it waits for a threshold of new text (see ``sensors.py``); what comes after
a checkpoint follows it.
"""

from collections.abc import Sequence

import dagster as dg

FOLLOW = {
    "cleaned_documents",
    "chunks",
    "embeddings",
    "retrieval_report",
    "instruct_dataset",
    "twin_leaderboard",
}
# What people say may never come; nothing waits for it.
PEOPLE = dg.AssetSelection.assets("review_decisions")


def follows_content() -> dg.AutomationCondition:
    """Made when missing or when an upstream data version changed, once its gates are open."""
    changed = dg.AutomationCondition.any_deps_match(
        dg.AutomationCondition.data_version_changed()
        | dg.AutomationCondition.newly_missing()
        | dg.AutomationCondition.will_be_requested()
    )
    wanted = (dg.AutomationCondition.missing() | changed).since_last_handled()
    return (
        wanted
        & ~dg.AutomationCondition.any_deps_missing().ignore(PEOPLE)
        & ~dg.AutomationCondition.any_deps_in_progress()
        & ~dg.AutomationCondition.in_progress()
        & dg.AutomationCondition.all_deps_blocking_checks_passed()
    ).with_label("follows content")


def automate(
    assets: Sequence[dg.AssetsDefinition | dg.AssetSpec],
) -> list[dg.AssetsDefinition | dg.AssetSpec]:
    """The same assets with the conditions that this module decides."""
    return list(
        dg.map_asset_specs(
            lambda spec: (
                spec.replace_attributes(automation_condition=follows_content())
                if spec.key.path[-1] in FOLLOW
                else spec
            ),
            assets,
        )
    )
