"""The tables of results, in Markdown, as README and the page of results show them."""

from statistics import mean, stdev

from .likelihood import TRUSTED
from .results import read_result, recipes

__all__ = ["TABLES", "table"]

TABLES = {  # by the judge of the recipes: the head of the table, which `_row` fills; before them, one for all
    "headlines": "chapter | model | here | CPU time of a run | elsewhere | NAME",
    "classification": "chapter | model | test error | CPU time of a run | old tutorial",
    "few labels": "chapter | model | test error, ten draws of the labels | labels | CPU time of a draw",
    "density": (
        "chapter | restricted Boltzmann machine, 500 hidden units if not said | log-likelihood | pseudo-likelihood,"
        " first seed, pixels thresholded | CPU time | elsewhere"
    ),
    "measures": (
        "chapter | PCD-1 less CD-1, restricted Boltzmann machines, 100 hidden units | reconstruction error"
        " | pseudo-likelihood | log-likelihood | the better one, tested | CPU time"
    ),
    "bound": (
        "chapter | deep belief network without labels | bound on log p(v) | its machine alone"
        " | CPU time of the fine-tuning | elsewhere"
    ),
    "dreams": "chapter | deep belief network | dreams read as asked for | bound | CPU time",
    "tagging": "chapter | network | 1 − F1 | the grammar itself | window of 7 words | hidden Markov model | CPU time",
    "music": "chapter | RNN-RBM | log-likelihood | frame accuracy | CPU time",
    "quality": "on validation digits | epochs of one recipe | our time, figure | PyTorch's time, figure",
    "speed": "one step of | our time / its matrix products | one thread / two | PyTorch / ours | scikit-learn / ours | "
    "JAX / ours",
}
STEPS = {  # what `tests/benchmarks` times: what it is, and what is done at once
    "softmax": ("softmax regression", "batch {}"),
    "mlp": ("784-500-10, tanh", "batch {}"),
    "lenet": ("LeNet", "batch {}"),
    "batchnorm": ("batch normalisation, 500 units", "batch {}"),
    "adam": ("Adam, 784-500-10", ""),
    "autoencoder": ("denoising autoencoder 784–500", "batch {}"),
    "rbm": ("RBM 784–500, CD-1", "batch {}"),
    "pcd": ("RBM 784–500, PCD-1", "batch {}"),
    "ais": ("annealing of the RBM, ten temperatures", "{} chains"),
    "tempering": ("tempering of the RBM, ten temperatures", "{} chains each"),
    "lstm": ("LSTM of 64 units, 20 words", "{} sentences"),
    "rnnrbm": ("RNN-RBM 46–150, CD-15, 50 notes", "{} pieces"),
}
PEERS = [  # the columns of the table of speeds: what is beside our step, and in which form
    {"its matrix products": ""},
    {"two threads": ""},
    {"torch": "", "compiled": "compiled", "channels_last": "channels last"},
    {"sklearn": "", "sklearn64": "its float64"},
    {"jax": ""},
]


def table(judge):
    """Return the table of the recorded results of one judge (see `TABLES`), lines of Markdown; or that of the speeds.

    "headlines" are those of all judges whose recipes have a ``headline``.

    Errors are in percent, likelihoods and bounds in nats, mean ± standard deviation over the seeds; times are those of
    one run.
    Speeds are ratios, each the median of some; or, as "quality", minutes of training until a figure is reached.

    Raises
    ------
    ValueError
        If there is no such table, or a record lacks what it needs.
    """
    if judge not in TABLES:
        raise ValueError(f"expected a table of {', '.join(TABLES)}, found {judge!r}")
    chosen = [
        (name, recipe)
        for name, recipe in recipes().items()
        if ("headline" in recipe if judge == "headlines" else recipe["judge"] == judge)
    ]
    head = TABLES[judge].split(" | ")
    rows = [_row(judge, *each) for each in sorted(chosen, key=lambda it: it[1]["chapter"])]
    if judge == "speed":
        rows = _speeds(read_result("benchmarks")["rows"])
    if judge == "quality":
        rows = [_quality(row) for row in read_result("quality")["rows"]]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows)).replace(
        "|  |", "| |"
    )


def _row(judge, name, recipe):
    chapter, record = str(int(recipe["chapter"][:2])), read_result(name)
    try:
        if judge == "headlines":
            figure, *_ = _cells(recipe["judge"], recipe, record)
            return [chapter, recipe["headline"], figure, _time(record), recipe.get("elsewhere", ""), f"`{name}`"]
        return [chapter, recipe["described"], *_cells(judge, recipe, record)]
    except KeyError as missing:
        raise ValueError(f"the record {name!r} has no {missing}: reproduce it anew") from missing


def _cells(judge, recipe, record):
    return {
        "classification": lambda: [_error(record), _time(record), recipe.get("elsewhere", "")],
        "few labels": lambda: [_error(record), f"{recipe['n_labels']:,}", _time(record)],
        "density": lambda: [
            _doubtful(record, f"**{_over_seeds(record, 'test_log_likelihood')}** nats"),
            _number(record["test_pseudo_log_likelihood_thresholded"], 1),
            _time(record),
            recipe["elsewhere"],
        ],
        "measures": lambda: [
            *(_difference(record, key) for key in ("reconstruction_error", "pseudo_log_likelihood")),
            f"{_difference(record, 'log_likelihood')}, backwards {_difference(record, 'log_likelihood_reverse')}",
            _doubtful(record, f"**{_over_seeds(record, 'test_log_likelihood')}** nats"),
            _time(record),
        ],
        "bound": lambda: [
            _doubtful(record, f"**{_over_seeds(record, 'test_bound')}** nats"),
            f"{_number(read_result(recipe['machine'])['test_log_likelihoods'][0])} nats",  # of the one that is kept
            _time(record),
            recipe["elsewhere"],
        ],
        "dreams": lambda: [
            f"{_over_seeds(record, 'recognition_rate', 100, 1)} %",
            _doubtful(record, f"**{_over_seeds(record, 'test_bound')}** nats"),
            _time(record),
        ],
        "tagging": lambda: [_error(record), *_others(record), _time(record)],
        "music": lambda: [
            f"**{_over_seeds(record, 'test_log_likelihood')}** nats",
            _percent(sum(record["test_frame_accuracy"]) / len(record["test_frame_accuracy"]), 1),
            _time(record),
        ],
    }[judge]()


def _speeds(measured):
    """Return the rows of the table of speeds: a step a row, and for each of `PEERS` the ratios, in all their forms."""
    ratios = {(row["step"], row["batch"], row["beside"]): row["ratio"] for row in measured if "grown" not in row}
    steps = sorted(
        {key[:2] for key in ratios if key[0] in STEPS}, key=lambda step: (list(STEPS).index(step[0]), step[1])
    )
    rows = []
    for name, batch in steps:
        what, size = STEPS[name]
        cells = [
            ", ".join(
                f"{ratios[name, batch, form]:.2f} {words and f'({words})'}".strip()
                for form, words in forms.items()
                if (name, batch, form) in ratios
            )
            for forms in PEERS
        ]
        rows.append([", ".join(filter(None, [what, size.format(batch)])), *cells])
    return rows


def _quality(row):
    wanted = row["wanted"]
    if row["recipe"] == "mlp":
        what, figure = f"784-1000-500-250-250-250-10, ReLU, noise: error at most {100 * wanted:g} %", _percent
    else:
        n_hidden = {"rbm": "500", "rbm_wide": "1,000"}[row["recipe"]]
        what, figure = f"RBM 784–{n_hidden}, PCD-1: log-likelihood at least {_number(wanted, 0)} nats", _number
    cells = [f"{row[who]['minutes']:.1f} min, {figure(row[who]['figure'])}" for who in ("ours", "torch")]
    return [what, str(row["n_epochs"]), *cells]


def _percent(value, digits=2):
    return f"{100 * value:.{digits}f} %"


def _number(value, digits=2):
    return f"{value:.{digits}f}".replace("-", "−")


def _over_seeds(record, what, scale=1, digits=2):
    """Mean ± standard deviation, which one seed does not have."""
    spread = f" ± {_number(scale * record[f'{what}_std'], digits)}" if f"{what}_std" in record else ""
    return f"{_number(scale * record[what], digits)}{spread}"


def _error(record):
    return f"**{_over_seeds(record, 'test_error', 100)} %**"


def _difference(record, key):
    """Mean of the differences in pairs of machines of one seed, persistent less not, ± their standard deviation."""
    values = {(m["settings"]["persistent"], m["seed"]): m[key] for m in record["measured"]}
    gains = [values[True, seed] - values[False, seed] for seed in record["seeds"]]
    return f"{mean(gains):+.1f} ± {stdev(gains):.1f}".replace("-", "−")


def _doubtful(record, figure):
    """The figure; with a word of doubt where annealing had too few effective samples, for one of the seeds."""
    measured = [m for m in record.get("measured", []) if m["settings"].items() <= record["parameters"].items()]
    sizes = [m["forward"]["effective_sample_size"] for m in measured if "forward" in m]  # none where log Z was summed
    if min(record.get("effective_sample_sizes", sizes), default=TRUSTED) < TRUSTED:
        return f"about {figure} (its AIS cannot be trusted)"
    return figure


def _others(record):
    others = record["test_error_of_others"]
    return [
        _percent(others["best_possible"]),
        _percent(others["window_of_7"], 1),
        _percent(others["hidden_markov_model"], 1),
    ]


def _time(record):
    minutes = record["cpu_minutes"]
    if minutes < 0.5:
        return f"{60 * minutes:.0f} s"
    return f"{minutes:.1f} min" if minutes < 2 else f"{minutes:.0f} min"
