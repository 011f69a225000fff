"""The main job: an author's whole chain, from sources to the endpoint."""

import dagster as dg

from llmtwin_assets.authors import authors_partition

TWIN, LEADERBOARD = "twin", "leaderboard"

twin_job = dg.define_asset_job(
    TWIN,
    selection=dg.AssetSelection.all() - dg.AssetSelection.assets("twin_leaderboard"),
    partitions_def=authors_partition,
    description="Everything from an author's sources to a twin that answers. What is up to date "
    "is not made again.",
)

leaderboard_job = dg.define_asset_job(
    LEADERBOARD,
    selection=dg.AssetSelection.assets("twin_leaderboard"),
    description="The table of all twins.",
)

training_job = dg.define_asset_job(
    "training",
    selection=dg.AssetSelection.assets("sft_checkpoint").downstream()
    - dg.AssetSelection.assets("twin_leaderboard"),
    partitions_def=authors_partition,
    description="From an author's instruct data to the endpoint.",
)

jobs = [twin_job, leaderboard_job, training_job]
