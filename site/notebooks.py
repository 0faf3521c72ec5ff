"""A chapter as a page: numbered figures with their alternative texts, folded solutions, stills that say they are."""

import copy
import json
import re

__all__ = ["as_page"]

LIVE = {"ThreeByTwo": "three_by_two", "CDAgainstPCD": "cd_against_pcd", "GibbsLab": "gibbs_lab"}  # panels on pages
STILL = "*A still picture of the panel.*"


def as_page(app, docname, source):
    """Change the text of a notebook, the one element of `source`, before Sphinx reads it (its event source-read)."""
    if not docname.startswith("chapters/") or not source[0].startswith("{"):
        return
    notebook = json.loads(source[0])
    cells = []
    for cell in notebook["cells"]:
        cells += _cells(cell, cells)
    source[0] = json.dumps(notebook | {"cells": cells})


def _cells(cell, before):
    """Return the cells that stand for one of the notebook on the page."""
    if cell["cell_type"] != "code":
        return [cell]
    tags = cell["metadata"].setdefault("tags", [])
    if "solution" in tags:
        tags.append("hide-cell")
        number = re.match(r"# (\d+)\.", "".join(cell["source"]))
        words = f"Solution {number[1]}" if number else "Solution, continued"
        cell["metadata"]["mystnb"] = {"code_prompt_show": f"Show: {words}", "code_prompt_hide": f"Hide: {words}"}
    parts = _one_picture_each(cell)
    for part in parts:
        caption = next(filter(None, map(_caption, part["outputs"])), None)
        part["outputs"] = [output for output in part["outputs"] if not _caption(output)]
        for output in filter(_is_picture, part["outputs"]):
            page = part["metadata"].setdefault("mystnb", {})
            page["image"] = {"alt": output["metadata"]["image/png"]["alt"]}
            if caption:
                page["figure"] = {"caption": caption, "name": caption.lower().replace(" ", "-").replace(".", "-")}
    if any(_is_picture(output) and output["output_type"] == "execute_result" for output in cell["outputs"]):
        parts.append(_beside_a_still(cell, before))
    return parts


def _is_picture(output):
    return "image/png" in output.get("data", {})


def _caption(output):
    """Return the caption that `plots.show` left below a figure, such as "Figure 6.3"; None for any other output."""
    text = "".join(output.get("data", {}).get("text/markdown", ""))
    return text.strip("*") if text.startswith("**Figure ") else None


def _one_picture_each(cell):
    """Cut a cell with several pictures: each has an alternative text and a number of its own."""
    groups = [[]]
    for output in cell["outputs"]:
        if _is_picture(output) and any(map(_is_picture, groups[-1])):
            groups.append([])
        groups[-1].append(output)
    parts = [cell | {"outputs": groups[0]}]
    for i, group in enumerate(groups[1:], start=2):
        metadata = copy.deepcopy(cell["metadata"])
        metadata["tags"] += ["remove-input"]
        parts.append(cell | {"id": f"{cell['id']}-{i}", "source": "...", "outputs": group, "metadata": metadata})
    return parts


def _beside_a_still(cell, before):
    """Return the cell that says where the panel above runs: on a page of its own, or in the notebook."""
    code = "\n".join("".join(each["source"]) for each in [*before, cell] if each["cell_type"] == "code")
    shown = "".join(cell["source"]).rstrip().splitlines()[-1]
    made = re.findall(rf"^{re.escape(shown)} = (\w+)\(", code, flags=re.M) if shown.isidentifier() else []
    name = LIVE.get(made[-1] if made else shown.partition("(")[0])
    where = f"[**Run it live, in this browser**](../live/{name}.md), or" if name else "To run it live,"
    words = f"{STILL} {where} [open the chapter in the book's notebooks](../index.md#start)."
    source = "{.still-line}\n" + words
    return {"cell_type": "markdown", "id": f"{cell['id']}-still", "metadata": {}, "source": source}
