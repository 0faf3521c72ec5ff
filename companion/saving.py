"""A Jupyter server extension: a notebook is saved with what can be seen of it where no kernel runs.

A panel leaves a live view and a still picture of itself. Whatever opens the file later prefers the view, whose model
is gone by then, and shows an error in place of the picture; finished progress bars likewise. So views stay on the page,
and are not written into the file; those of others are left alone. ``jupyter/deep_beliefs.json`` switches this on for
every Jupyter server of the environment that the companion is installed in.
"""

import re

__all__ = ["LIVE_VIEW", "keep_stills", "still"]

LIVE_VIEW = "application/vnd.jupyter.widget-view+json"
# What tqdm says of a bar: "epoch: 5%|…| 1/20 [00:01<00:19, 1.0it/s]", of one without an end "12 runs [00:01, 9 run/s]".
BAR = re.compile(r"(.*: )?\s*(\d+%\|.*\| \S+/\S+|[\d.]+ ?\w*) \[(\d+:)?\d\d:\d\d(<[^,]+)?, [^,]+/[^,]+(, .*)?\]\s*")


def still(output):
    """Return an output of a cell, a dict, without its live view if it is one of ours; None if nothing is left to see.

    Ours are panels, whose picture says as its alternative text what they say themselves, and progress bars that have
    come to their end; what others show is left alone.
    """
    data = output.get("data", {})
    if LIVE_VIEW not in data:
        return output
    said = "".join(data.get("text/plain", ""))
    if BAR.fullmatch(said):
        return None
    if said and output.get("metadata", {}).get("image/png", {}).get("alt") == said:
        del data[LIVE_VIEW]
    return output


def keep_stills(model, **_):
    """Take our live views out of a notebook, a model of Jupyter's contents, that is about to be saved."""
    notebook = model.get("content")
    if not isinstance(notebook, dict):  # but a file, or a folder
        return
    kept = []
    for cell in notebook.get("cells", []):
        if "outputs" in cell:
            cell["outputs"] = [output for output in map(still, cell["outputs"]) if output]
            kept += cell["outputs"]
    if not any(LIVE_VIEW in output.get("data", {}) for output in kept):  # nobody's, who would miss their state
        notebook.get("metadata", {}).pop("widgets", None)


def _jupyter_server_extension_points():
    return [{"module": "companion.saving"}]


def _load_jupyter_server_extension(server):
    server.contents_manager.register_pre_save_hook(keep_stills)
