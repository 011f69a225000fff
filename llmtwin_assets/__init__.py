"""LLM Twin as a Dagster asset graph: one room per stage, in the order that data flows."""

import warnings

# Partitioned checks and code references are marked beta; they are used on purpose, and the
# versions that have them are pinned, so a page of warnings at every start tells nobody anything.
warnings.filterwarnings("ignore", message=r".* is currently in (beta|preview)")
warnings.filterwarnings("ignore", message=r".*Parameter .* of .* is currently in (beta|preview)")
