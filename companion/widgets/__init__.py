"""Panels to play with. They drive the models and draw; they compute nothing themselves."""

from .contributions import Contributions
from .gibbs_lab import GibbsLab
from .playground import Playground

__all__ = ["Contributions", "GibbsLab", "Playground"]
