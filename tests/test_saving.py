"""What is written into the file of a notebook: pictures, and no view of what is gone."""

import copy

import pytest
from tqdm.notebook import tqdm

from companion.saving import LIVE_VIEW, keep_stills, still
from companion.widgets import CDAgainstPCD


def notebook(*outputs):
    content = {"cells": [{"cell_type": "code", "outputs": list(outputs)}, {"cell_type": "markdown", "source": ""}],
               "metadata": {"widgets": {"application/vnd.jupyter.widget-state+json": {}}}}  # fmt: skip
    return {"type": "notebook", "content": content}


def shown(data, **metadata):
    return {"output_type": "display_data", "data": data, "metadata": metadata}


ALT = {"image/png": {"alt": "a panel"}}


def test_views_give_way_to_pictures_and_bars_to_nothing():
    panel = shown({LIVE_VIEW: {"model_id": "1"}, "image/png": "iVBO", "text/plain": "a panel"}, **ALT)
    bar = shown({LIVE_VIEW: {"model_id": "2"}, "text/plain": ["  0%|          | 0/100 [00:00<?, ? updates/s]"]})
    endless = shown({LIVE_VIEW: {"model_id": "3"}, "text/plain": "0 updates [00:00, ? updates/s]"})
    figure = shown({"image/png": "iVBO", "text/plain": "<Figure>"})
    stream = {"output_type": "stream", "name": "stdout", "text": "5%| of it"}
    model = notebook(panel, bar, endless, figure, stream)
    keep_stills(model=model, path="a.ipynb", contents_manager=None)
    assert model["content"]["metadata"] == {}
    assert model["content"]["cells"][0]["outputs"] == [
        shown({"image/png": "iVBO", "text/plain": "a panel"}, **ALT),
        shown({"image/png": "iVBO", "text/plain": "<Figure>"}),
        stream,
    ]


@pytest.mark.parametrize(
    "data",
    [
        {"text/plain": "IntSlider(value=0)"},
        {"text/plain": "12 items [1, 2, 3]"},
        {"text/plain": "12 items [10:30, 11:00]"},
        {"text/plain": "Canvas(toolbar=Toolbar())", "image/png": "iVBO"},
        {"image/png": "iVBO"},
    ],
)
def test_what_others_show_is_left_alone(data):
    """Of our own panel in the same notebook only the picture is kept; the state is still needed."""
    foreign = shown({LIVE_VIEW: {"model_id": "1"}} | data)
    panel = shown({LIVE_VIEW: {"model_id": "2"}, "image/png": "iVBO", "text/plain": "a panel"}, **ALT)
    model, before = notebook(foreign, panel), copy.deepcopy(foreign)
    keep_stills(model=model)
    assert model["content"]["cells"][0]["outputs"][0] == before and LIVE_VIEW not in panel["data"]
    assert "widgets" in model["content"]["metadata"]


def test_bars_and_panels_are_known_by_what_they_say():
    bars = [tqdm(display=False, **options) for options in (
        {"total": 3}, {"total": 10**7, "unit": " updates", "unit_scale": True, "desc": "epoch 3: so far"},
        {"unit": " updates"}, {}, {"total": 3, "postfix": {"loss": 0.1}},
    )]  # fmt: skip
    for bar in bars:
        bar.start_t -= 4000
        bar.update(2)
        assert still(shown({LIVE_VIEW: {}, "text/plain": repr(bar.container)})) is None, bar
        bar.close()
    data, metadata = CDAgainstPCD()._repr_mimebundle_()
    assert LIVE_VIEW in data and LIVE_VIEW not in still(shown(dict(data), **metadata))["data"]


def test_other_files_are_left_alone():
    for model in ({"type": "file", "content": "text"}, {"type": "directory", "content": None}, {"type": "notebook"}):
        before = dict(model)
        keep_stills(model=model)
        assert model == before


def test_what_says_nothing_of_itself_is_nobodys_panel():
    picture = shown({LIVE_VIEW: {"model_id": "1"}, "image/png": "iVBO"}, **{"image/png": {"alt": ""}})
    assert LIVE_VIEW in still(picture)["data"]
