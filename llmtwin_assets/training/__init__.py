"""From instruct data to checkpoints: fine-tuning, preferences, quantisation. Each script runs by
hand with the spec file that the graph would give it."""
