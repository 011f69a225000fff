"""One module per outside system: stores, models, compute. Nothing here knows an asset."""
