"""The page of results, drawn from the records of the headline runs and of the benchmarks."""

import json
import re
from statistics import mean

from companion.places import BOOK
from companion.plots import COLORS, figure, png
from companion.results import read_result
from companion.tables import STEPS

__all__ = ["page", "records"]


def records():
    """Return the records of all headline runs that a chapter tells of, in the order of the chapters."""
    found = [json.loads(path.read_text(encoding="utf8")) for path in (BOOK / "data" / "results").glob("*.json")]
    return sorted((each for each in found if "chapter" in each), key=lambda each: (each["chapter"], each["name"]))


def page():
    """Return the page, text in MyST's Markdown, and its pictures, PNG bytes by name.

    The text is that of ``site/results.md``, whose comments say where each picture goes.
    """
    every = records()
    digits = [each for each in every if "test_error" in each and each["name"] != "tagger"]
    probable = [each for each in every if "test_log_likelihood" in each["tutorial"]]
    measured = read_result("benchmarks")["rows"]
    nats = "; ".join(f"{each['name']} {mean(_nats(each)):.2f}" for each in probable)
    drawn = {
        "errors": (_errors(digits), f"Test errors on MNIST in percent: {_in_words(digits)}."),
        "likelihoods": (_likelihoods(probable), f"Log-likelihoods, or bounds, of MNIST's test digits in nats: {nats}."),
        "minutes": (_minutes(every), "CPU minutes of one run of each, on a logarithmic axis, as in the tables."),
        "speed": (_speed(measured), "How much longer other libraries take for a step, in the table below."),
        "growth": (_growth(measured), "Our time by that of the matrix products, as sizes grow."),
    }
    text = (BOOK / "site" / "results.md").read_text(encoding="utf8")
    text = re.sub(r"<!-- picture (\w+) -->", lambda found: _image(f"{found[1]}.png", drawn[found[1]][1]), text)
    text += "\n## In full\n\nHow each was chosen, with which settings and versions, and on what.\n"
    return text + "".join(map(_record, every)), {f"{name}.png": png(fig) for name, (fig, _) in drawn.items()}


def _image(name, alt):
    return f"```{{image}} {name}\n:alt: {alt}\n:width: 700px\n```\n"


def _in_words(every):
    return "; ".join(f"{each['name']} {100 * each['test_error']:.2f}" for each in every)


def _record(record):
    name, versions = record["name"], record["versions"]
    words = ", ".join(f"{package} {number}" for package, number in versions.items() if number != "none")
    settings, revision = json.dumps(record["parameters"], indent=1), record.get("revision") or ""
    return (
        f"\n(result-{name.replace('_', '-')})=\n\n### {name}\n\n"
        f"`{record['model']}`, recorded on {record['recorded']} on {record['machine']}, with {words}"
        f"{revision and f', at revision {revision}'}. "
        f"Selection: {record['selection']}. Repeat it: `python -m companion reproduce {name}`.\n\n"
        f"```json\n{settings}\n```\n"
    )


def _nats(record):
    """Return the log-likelihoods of a record, or bounds, of each seed."""
    return record.get("test_log_likelihoods") or record["test_bounds"]


def _name_rows(axis, names):
    """Write a name at each row, the first on top."""
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.set_ylim(len(names) - 0.4, -0.6)


def _name_ticks(axis, measure, ticks):
    """Make the axis below a logarithmic one of the measure, with these ticks."""
    axis.set(xlabel=f"{measure}, logarithmic", xscale="log")
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.minorticks_off()


def _seeds(rows, others, place, scale=1):
    """Draw, of rows (name, values, value elsewhere or None), the values as dots and those of `others` as diamonds."""
    fig, axis = figure(7, 0.45 * len(rows) + 0.9)
    for y, (_, values, elsewhere) in enumerate(rows):
        axis.plot([scale * each for each in values], [y] * len(values), "o", color=COLORS[0])
        if elsewhere is not None:
            axis.plot(scale * elsewhere, y, "D", color=COLORS[1], fillstyle="none")
    axis.plot([], [], "o", color=COLORS[0], label="here, each seed")
    axis.plot([], [], "D", color=COLORS[1], fillstyle="none", label=others)
    _name_rows(axis, [name for name, *_ in rows])
    axis.legend(loc=place)
    return fig, axis


def _errors(digits):
    rows = [(each["name"], each["test_errors"], each["tutorial"].get("test_error")) for each in digits]
    fig, axis = _seeds(rows, "the old tutorials", "upper center", scale=100)
    _name_ticks(axis, "test error, percent", [0.3, 0.5, 1, 2, 4, 8])
    return fig


def _likelihoods(probable):
    rows = [(each["name"], _nats(each), each["tutorial"]["test_log_likelihood"]) for each in probable]
    fig, axis = _seeds(rows, "elsewhere, as in the table", "lower left")
    axis.set(xlabel="log-likelihood of the test digits, or a bound on it, nats")
    return fig


def _minutes(every):
    fig, axis = figure(7, 0.3 * len(every) + 0.9)
    axis.plot([record["cpu_minutes"] for record in every], range(len(every)), "o")
    _name_rows(axis, [record["name"] for record in every])
    _name_ticks(axis, "CPU minutes of one run", [0.1, 1, 10, 30])
    return fig


def _speed(measured):
    """Draw how many times as long as ours a step takes elsewhere, the least and the greatest of some pairs as bars."""
    rows = [
        row for row in measured if row["step"] in STEPS and row["beside"] not in ("its matrix products", "two threads")
    ]
    rows.sort(key=lambda row: (list(STEPS).index(row["step"]), row["batch"], row["beside"]))
    fig, axis = figure(7, 0.2 * len(rows) + 0.9)
    for y, row in enumerate(rows):
        color = COLORS[0] if row["ratio"] >= 1 else COLORS[1]
        axis.plot(row["range"], [y, y], color=color)
        axis.plot(row["ratio"], y, "o", color=color)
    axis.axvline(1, color="0.6", zorder=0)
    names = [f"{row['step']}, {row['batch']}: {row['beside']}" for row in rows]
    _name_rows(axis, names)
    _name_ticks(axis, "their time / ours", [0.5, 1, 2, 4])
    return fig


def _growth(measured):
    """Draw our time by that of the bare matrix products for the restricted Boltzmann machine, as each size grows."""
    grown = [row for row in measured if "grown" in row]
    fig, axis = figure(7, 3)
    for option in dict.fromkeys(row["grown"] for row in grown):
        rows = [row for row in grown if row["grown"] == option]
        axis.plot([row[option] for row in rows], [row["ratio"] for row in rows], "o-", label=option)
    axis.axhline(1, color="0.6", zorder=0)
    axis.set(xlabel="size, logarithmic", xscale="log", ylabel="our time / matrix products")
    axis.legend()
    return fig
