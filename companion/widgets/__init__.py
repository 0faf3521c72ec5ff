"""Panels to play with. They drive the models and draw; they compute nothing themselves."""

from .contributions import Contributions
from .playground import Playground

__all__ = ["Contributions", "Playground"]
