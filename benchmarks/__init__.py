"""One script per claim of speed or quality: ``python -m benchmarks.NAME [--data DIR]``.

Each prints one JSON object on standard output and its progress on standard error.
"""
