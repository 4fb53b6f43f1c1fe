"""The embedded small models: ordinary Hugging Face folders inside the package."""

from pathlib import Path

SEEDLINGS: dict[str, Path] = {"seedling": Path(__file__).parent / "language"}
"""Short names of the embedded models and where they lie."""
