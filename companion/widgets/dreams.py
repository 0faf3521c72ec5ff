"""Chapter 8: a deep belief network dreams, of any digit or of the one that it is asked for."""

import ipywidgets as widgets
import numpy as np

from ..backend import Noise, generator, one_thread, to_device, to_numpy
from ..dbn import DBN
from ..plots import COLORS
from .canvas import Canvas
from .drawing import grey_levels, label_bars
from .panel import Panel, check_kind, control, seed_control, speed_control

__all__ = ["Dreams"]

ANY = "any"  # not None, which a row of buttons takes for no choice
BARS = (290, 150)  # pixels of the label bars
HELD, FREE = COLORS[1], COLORS[0]


class Dreams(Panel):
    """Gibbs chains in the machine on top of a deep belief network, passed down to pixels as they run.

    The label units can be clamped, and changed while the chains run: they keep their states, and are drawn towards the
    new label.

    Parameters
    ----------
    dbn : companion.dbn.DBN
        Pretrained with labels, on images of 28 × 28 pixels.
    classifier : estimator, optional
        Says which label each dream looks like.
    seed : int
        The same seed, and the same clicks, give the same dreams.
    """

    description = (
        "The dream of the first of several chains, large; beside it the dreams of all chains, the codes of the first "
        "as a grid, and how likely its label units are to be on, as bars."
    )

    def __init__(self, dbn, classifier=None, seed=0):
        check_kind(DBN, dbn=dbn)
        self.check_digits(dbn=dbn, classifier=classifier)
        if "label_weights" not in dbn.parameters_:
            raise ValueError("dbn: expected a network that was pretrained with labels, found one that has learned none")
        self.dbn, self.top, self.classifier = dbn, dbn.top_, classifier
        self.n_codes = len(dbn.layers_[-1].visible_bias_)
        self.label = control(
            widgets.ToggleButtons, "dream of", options=[("any", ANY), *((str(d), d) for d in dbn.classes_.tolist())],
            style={"button_width": "44px"},
        )  # fmt: skip
        self.n_chains = control(widgets.IntSlider, "chains", 12, 1, 20)
        self.beta = control(widgets.FloatSlider, "inverse temp.", 1, min=0.2, max=2, step=0.05)
        self.speed, self.seed = speed_control(), seed_control(seed)
        self.large = Canvas(scale=9, label="The dream of the first chain")
        self.tiles = Canvas(scale=2.2, label="The dreams of all chains", on_paper=True)
        self.codes = Canvas(scale=7, label="Codes of the first chain, below the machine on top: white is on")
        self.bars = Canvas(scale=1, label="How likely the label units of the first chain are to be on")
        for each in (self.n_chains, self.seed):
            each.observe(lambda _: self.reset(), "value")
        for each in (self.label, self.beta):
            each.observe(lambda _: self._continue(), "value")
        controls = [self.label, self.n_chains, self.beta, self.speed, self.seed, self.buttons(pause=0.01)]
        super().__init__(
            [(300, [*controls, self.bars]), (252, [self.large, self.codes]), (266, [self.tiles])],
        )
        self.reset()

    def reset(self):
        """Begin anew: coin tosses for all units below the top, random numbers from the seed."""
        rng = generator(self.seed.value)
        # What is drawn on the way down has numbers of its own: the chains on top do not notice it.
        self.noise, self.down = map(Noise, rng.spawn(2))
        self.v = to_device(rng.integers(0, 2, (self.n_chains.value, self.top.n_features_in_)), self.top.W_.dtype)
        self.steps = 0
        self._continue()
        self.means, self.images = self.v, to_numpy(self.dbn.propdown(self.v, self.down))
        self.refresh()

    def _continue(self):
        """Go on from the present states, with label and temperature as they are now."""
        clamp = None
        if self.label.value != ANY:
            self.v, clamp = self.dbn.with_label(self.v[:, : self.n_codes], self.label.value)
        self.chains = self.top.chains(self.v, self.noise, clamp, self.beta.value)

    def step(self, steps=None):
        """Take so many Gibbs steps, by default those of a frame, pass the codes down, then draw."""
        with one_thread():
            for _ in range(steps or self.speed.value):
                self.v, self.means, _ = next(self.chains)
                self.steps += 1
        self.images = to_numpy(self.dbn.propdown(self.v, self.down))
        self.refresh()

    def refresh(self):
        """Draw everything anew."""
        self.large.draw(grey_levels(self.images[0].reshape(28, 28)))
        self.tiles.draw_tiles(self.images, 4)
        self.codes.draw_units(to_numpy(self.v[0, : self.n_codes]))
        self.bars.draw(self._draw_bars())
        asked = "any digit" if self.label.value == ANY else f"a {self.label.value}"
        self.large.caption = f"first chain · step {self.steps:,} · asked for {asked}"
        self.codes.caption = f"its {self.n_codes} codes, below the label units"
        words = f"all {len(self.images)} chains" if len(self.images) > 1 else "the chain"
        if self.classifier is not None:
            digits = self.classifier.predict(self.images)
            words += f", read as {' '.join(map(str, digits))}"
            if self.label.value != ANY:
                asked = self.label.value  # 7 is 7.0, and "7"
                words += f"\n{np.mean([d == asked or str(d) == str(asked) for d in digits]):.0%} as asked for"
        self.tiles.caption = words

    def _draw_bars(self):
        held = self.label.value != ANY
        title = "label units, clamped" if held else "label units: p(on)" if self.steps else "label units: coin tosses"
        means = to_numpy(self.means[0, self.n_codes :])
        return label_bars(self.dbn.classes_, means, title, HELD if held else FREE, BARS)
