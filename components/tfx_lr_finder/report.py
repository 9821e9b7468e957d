"""The page of a sweep: the rate, the verdict in words, the picture and the facts."""

import base64
from html import escape

from tfx_lr_finder.evidence import Evidence
from tfx_lr_finder.verdict import Verdict

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Learning rate {rate}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: auto; padding: 1rem; }}
img {{ max-width: 100%; border-radius: 4px; }}
table {{ border-collapse: collapse; margin: 1rem 0; }}
td, th {{ padding: .2rem 1rem .2rem 0; text-align: left; border-bottom: 1px solid #8884; }}
</style>
</head>
<body>
<h1>Learning rate {rate}</h1>
<p><strong>{verdict}</strong>: {meaning}</p>
<img alt="Loss over learning rate" src="data:image/png;base64,{picture}">
<h2>What each rule reads off this curve</h2>
<table><tr><th>rule</th><th>learning rate</th></tr>{rules}</table>
<h2>The sweep</h2>
<table>{facts}</table>
</body>
</html>
"""


def report(evidence: Evidence, picture: bytes) -> str:
    """Returns a self-contained HTML page: no script, nothing from the network.

    Args:
        evidence: What was found, and what it rests on.
        picture: The PNG that `plot` drew of it.
    """
    suggestion, curve = evidence.suggestion, evidence.curves[0]
    facts = {
        "rule": suggestion.rule,
        "range of learning rates": f"{curve.learning_rates[0]:g} to {curve.learning_rates[-1]:g}",
        "steps done": f"{len(curve)} of {curve.num_steps}",
        "stopped because": curve.stop_reason.value,
        "batch size": str(curve.batch_size),
        "steps of the training to come": str(curve.train_steps or "not known"),
        "smoothing": f"{curve.smoothing:g}",
        "seed": str(curve.seed),
    }
    answers = {
        rule: answer.value if isinstance(answer, Verdict) else f"{answer.learning_rate:.3g}"
        for rule, answer in evidence.answers.items()
    }
    return _PAGE.format(
        rate=escape(f"{suggestion.learning_rate:.3g}"),
        verdict=escape(suggestion.verdict.value),
        meaning=escape(suggestion.verdict.meaning),
        picture=base64.b64encode(picture).decode(),
        rules=_rows(answers),
        facts=_rows(facts),
    )


def _rows(cells: dict[str, str]) -> str:
    return "".join(f"<tr><td>{escape(k)}</td><td>{escape(v)}</td></tr>" for k, v in cells.items())
