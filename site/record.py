"""The page of results, drawn from the records of the headline runs."""

import json

from companion.likelihood import TRUSTED
from companion.places import BOOK
from companion.plots import COLORS, figure, png

__all__ = ["page", "records"]

MEASURES = {  # key of a record: what it is called, and how it is written
    "test_error": ("test error", lambda value: f"{100 * value:.2f} %"),
    "test_log_likelihood": ("log-likelihood", lambda value: f"{value:.2f} nats".replace("-", "−")),
    "test_bound": ("bound on the log-likelihood", lambda value: f"{value:.2f} nats".replace("-", "−")),
}
HEAD = """# Results

What was measured, drawn from the records that `python -m companion reproduce NAME` wrote. Settings were chosen on the
validation set, and the test set was used for the chosen ones (once, unless a chapter says otherwise: 5 and 11 do); ± is
the standard deviation over the seeds. "About" stands before what rests on an estimate of log Z that cannot be trusted,
one whose effective sample size is below 20.

"""


def records():
    """Return the records of all headline runs that a chapter tells of, in the order of the chapters."""
    found = [json.loads(path.read_text(encoding="utf8")) for path in (BOOK / "data" / "results").glob("*.json")]
    return sorted((each for each in found if "chapter" in each), key=lambda each: (each["chapter"], each["name"]))


def page():
    """Return the page, text in MyST's Markdown, and its pictures, PNG bytes by name."""
    every = records()
    digits = [each for each in every if "test_error" in each and each["name"] != "tagger"]
    pictures = {"errors.png": png(_errors(digits)), "minutes.png": png(_minutes(every))}
    text = HEAD + _image("errors.png", f"Test errors on MNIST in percent: {_in_words(digits)}.")
    text += "\n## Every run\n\n"
    text += "| chapter | run | measured on the test set | seeds | CPU time of a run | the old tutorials |\n"
    text += "|---|---|---|---|---|---|\n" + "".join(map(_row, every))
    text += "\n" + _image("minutes.png", "CPU minutes of one run of each, on a logarithmic axis, as in the table.")
    text += "\n## In full\n\nHow each was chosen, with which settings and versions, and on what.\n"
    return text + "".join(map(_record, every)), pictures


def _image(name, alt):
    return f"```{{image}} {name}\n:alt: {alt}\n:width: 700px\n```\n"


def _in_words(every):
    return "; ".join(f"{each['name']} {100 * each['test_error']:.2f}" for each in every)


def _measured(record):
    """Return what was measured, in words; the first of `MEASURES` that a record has, others are in full below."""
    for key, (name, written) in MEASURES.items():
        if key in record:
            spread = f" ± {written(record[key + '_std'])}" if f"{key}_std" in record else ""
            unsure = record.get("forward", {}).get("effective_sample_size", 100) < TRUSTED
            return f"{name} {'about ' if unsure else ''}**{written(record[key])}**{spread}"
    return "see below"


def _row(record):
    chapter, then = record["chapter"], record.get("tutorial", {})
    old = [written(then[key]) for key, (_, written) in MEASURES.items() if key in then]
    if "pseudo_log_likelihood" in then:
        old.append(f"pseudo-likelihood −{-then['pseudo_log_likelihood']:.1f} nats")
    if "cpu_minutes" in then:
        old.append(f"{then['cpu_minutes']:,} min")
    cells = [
        f"[{int(chapter.split('_')[0])}](chapters/{chapter}.ipynb)",
        f"[{record['name']}](#result-{record['name'].replace('_', '-')})",
        _measured(record),
        str(len(record["seeds"])),
        _minutes_in_words(record["cpu_minutes"]),
        "; ".join(old + [then["note"]] if "note" in then else old),
    ]
    return f"| {' | '.join(cells)} |\n"


def _minutes_in_words(minutes):
    return f"{60 * minutes:.0f} s" if minutes < 0.5 else f"{minutes:.1f} min" if minutes < 10 else f"{minutes:.0f} min"


def _record(record):
    name, versions = record["name"], record["versions"]
    words = ", ".join(f"{package} {number}" for package, number in versions.items() if number != "none")
    settings = json.dumps(record["parameters"], indent=1)
    return (
        f"\n(result-{name.replace('_', '-')})=\n\n### {name}\n\n"
        f"`{record['model']}`, recorded on {record['recorded']} on {record['machine']}, with {words}. "
        f"Selection: {record['selection']}. Repeat it: `python -m companion reproduce {name}`.\n\n"
        f"```json\n{settings}\n```\n"
    )


def _errors(digits):
    fig, axis = figure(7, 0.45 * len(digits) + 0.9)
    for y, record in enumerate(digits):
        axis.plot(
            [100 * each for each in record["test_errors"]], [y] * len(record["test_errors"]), "o", color=COLORS[0]
        )
        if "test_error" in record["tutorial"]:
            axis.plot(100 * record["tutorial"]["test_error"], y, "D", color=COLORS[1], fillstyle="none")
    axis.plot([], [], "o", color=COLORS[0], label="here, each seed")
    axis.plot([], [], "D", color=COLORS[1], fillstyle="none", label="the old tutorials")
    axis.set_yticks(range(len(digits)), [record["name"] for record in digits])
    axis.invert_yaxis()
    axis.set(xlabel="test error, percent, logarithmic", xscale="log")
    ticks = [0.5, 1, 2, 4, 8]
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.minorticks_off()
    axis.legend(loc="upper center")
    return fig


def _minutes(every):
    fig, axis = figure(7, 0.3 * len(every) + 0.9)
    axis.plot([record["cpu_minutes"] for record in every], range(len(every)), "o")
    axis.set_yticks(range(len(every)), [record["name"] for record in every])
    axis.invert_yaxis()
    axis.set(xlabel="CPU minutes of one run, logarithmic", xscale="log")
    ticks = [0.1, 1, 10, 30]
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.minorticks_off()
    return fig
