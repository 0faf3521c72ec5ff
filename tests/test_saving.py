"""What is written into the file of a notebook: pictures, and no view of what is gone."""

from companion.saving import LIVE_VIEW, RUN, keep_stills


def notebook(*outputs):
    content = {"cells": [{"cell_type": "code", "outputs": list(outputs)}, {"cell_type": "markdown", "source": ""}],
               "metadata": {"widgets": {"application/vnd.jupyter.widget-state+json": {}}}}  # fmt: skip
    return {"type": "notebook", "content": content}


def shown(data):
    return {"output_type": "display_data", "data": data, "metadata": {}}


def test_views_give_way_to_pictures_and_bars_to_nothing():
    panel = shown({LIVE_VIEW: {"model_id": "1"}, "image/png": "iVBO", "text/plain": "a panel"})
    bar = shown({LIVE_VIEW: {"model_id": "2"}, "text/plain": ["  0%|          | 0/100 [00:00<?, ? updates/s]"]})
    endless = shown({LIVE_VIEW: {"model_id": "3"}, "text/plain": "0 updates [00:00, ? updates/s]"})
    slider = shown({LIVE_VIEW: {"model_id": "4"}, "text/plain": "IntSlider(value=0)"})
    figure = shown({"image/png": "iVBO", "text/plain": "<Figure>"})
    stream = {"output_type": "stream", "name": "stdout", "text": "5%| of it"}
    model = notebook(panel, bar, endless, slider, figure, stream)
    keep_stills(model=model, path="a.ipynb", contents_manager=None)
    assert model["content"]["metadata"] == {}
    assert model["content"]["cells"][0]["outputs"] == [
        shown({"image/png": "iVBO", "text/plain": "a panel"}),
        shown({"text/plain": RUN}),
        shown({"image/png": "iVBO", "text/plain": "<Figure>"}),
        stream,
    ]


def test_other_files_are_left_alone():
    for model in ({"type": "file", "content": "text"}, {"type": "directory", "content": None}, {"type": "notebook"}):
        before = dict(model)
        keep_stills(model=model)
        assert model == before
