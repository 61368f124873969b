"""What registered tests share: the engine's launch, requests, evaluations, benches and bounds.

Runs in the engine's interpreter: Python 3.10, the standard library and pytest alone. Imports nothing from `ci/`.
"""
