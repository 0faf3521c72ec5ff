"""Panels to play with. They drive the models and draw; they compute nothing themselves."""

from .adversary import Adversary
from .annealing import Annealing
from .cd_against_pcd import CDAgainstPCD
from .contributions import Contributions
from .denoising import Denoising
from .descent import Descent
from .dreams import Dreams
from .epoch_scrubber import EpochScrubber
from .filter_slider import FilterSlider
from .gibbs_lab import GibbsLab
from .playground import Playground
from .puck import Puck
from .roll import Roll
from .sandwich import Sandwich
from .stack import Stack
from .tagger import Tagging
from .tempering import Tempering
from .three_by_two import ThreeByTwo

__all__ = [
    "Adversary", "Annealing", "CDAgainstPCD", "Contributions", "Denoising", "Descent", "Dreams", "EpochScrubber",
    "FilterSlider", "GibbsLab", "Playground", "Puck", "Roll", "Sandwich", "Stack", "Tagging", "Tempering",
    "ThreeByTwo",
]  # fmt: skip
