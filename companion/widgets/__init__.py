"""Panels to play with. They drive the models and draw; they compute nothing themselves."""

from .annealing import Annealing
from .contributions import Contributions
from .gibbs_lab import GibbsLab
from .playground import Playground
from .tempering import Tempering

__all__ = ["Annealing", "Contributions", "GibbsLab", "Playground", "Tempering"]
