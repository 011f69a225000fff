"""Gates of the evaluation room: whether this twin may serve."""

from llmtwin_assets.evaluation.assets import eval_report
from llmtwin_assets.evaluation.gates import judges
from llmtwin_assets.steps import gate

checks = [*map(gate(eval_report), judges)]
