"""From an evaluated twin to answers with sources."""
