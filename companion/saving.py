"""A Jupyter server extension: a notebook is saved with what can be seen of it where no kernel runs.

A panel leaves a live view and a still picture of itself. Whatever opens the file later prefers the view, whose model
is gone by then, and shows an error in place of the picture; finished progress bars likewise. So views stay on the page,
and are not written into the file. ``jupyter/deep_beliefs.json`` switches this on for every Jupyter server of the
environment that the companion is installed in.
"""

import re

__all__ = ["LIVE_VIEW", "keep_stills", "still"]

LIVE_VIEW = "application/vnd.jupyter.widget-view+json"
BAR = re.compile(r"\s*(\d+%\||\d+ \w+ \[)")  # how tqdm begins
RUN = "Run this cell to see its controls."


def still(output):
    """Return an output of a cell, a dict, without its live view; None if nothing is left to see."""
    data = output.get("data", {})
    if data.pop(LIVE_VIEW, None) is None or "image/png" in data:
        return output
    if BAR.match("".join(data.get("text/plain", ""))):
        return None  # a progress bar that has come to its end
    data["text/plain"] = RUN
    return output


def keep_stills(model, **_):
    """Take the live views out of a notebook, a model of Jupyter's contents, that is about to be saved."""
    notebook = model.get("content")
    if model.get("type") != "notebook" or not isinstance(notebook, dict):
        return
    notebook.get("metadata", {}).pop("widgets", None)
    for cell in notebook.get("cells", []):
        if "outputs" in cell:
            cell["outputs"] = [output for output in map(still, cell["outputs"]) if output]


def _jupyter_server_extension_points():
    return [{"module": "companion.saving"}]


def _load_jupyter_server_extension(server):
    server.contents_manager.register_pre_save_hook(keep_stills)
