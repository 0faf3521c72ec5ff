"""The moving picture on the first page: ``python site/picture.py`` writes ``chapters/images/gibbs_lab.png``.

It is what the Gibbs lab shows, a step a frame, of the recorded machine of chapter 7. A viewer that knows no animated
PNG shows the first frame.
"""

import numpy as np
from PIL import Image

from companion.places import BOOK
from companion.rbm import RBM
from companion.results import load_weights
from companion.storage import replacing
from companion.widgets import GibbsLab
from companion.widgets.still import still_of

PICTURE = BOOK / "chapters" / "images" / "gibbs_lab.png"
BEFORE, FRAMES, MILLISECONDS, TURNS = 400, 33, 150, 1  # no more than five seconds: nobody can stop it
HELD_ON = [(8, column, False) for column in range(9, 20)]  # strokes of the brush, 2 × 2 pixels
HELD_OFF = [(row, column, False) for row in (18, 20) for column in (6, 8)]


def still(lab):
    """Return the pictures of the lab, without its controls, as one."""
    return still_of([[(252, [lab.pad, lab.hidden]), (266, [lab.tiles, lab.trace])]], 20)


def lab():
    """Return a Gibbs lab of twenty chains with some pixels held, before its first step."""
    panel = GibbsLab(RBM.from_parameters(**load_weights("rbm")), np.zeros((1, 784), np.float32), seed=7)
    panel.n_chains.value = 20
    for colour, strokes in (("on", HELD_ON), ("off", HELD_OFF)):
        panel.brush.value = colour
        panel.paint(strokes)
    return panel


if __name__ == "__main__":
    panel, frames = lab(), []
    for steps in [BEFORE] + [1] * (FRAMES - 1):
        panel.step(steps)
        frames.append(still(panel))
    palette = frames[0].quantize(48, Image.Quantize.MAXCOVERAGE)  # white stays white
    first, *others = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    moving = {"save_all": True, "append_images": others, "duration": MILLISECONDS, "loop": TURNS}
    with replacing(PICTURE) as temporary:
        first.save(temporary, "PNG", optimize=True, **moving)
