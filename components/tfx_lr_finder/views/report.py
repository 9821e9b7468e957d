"""The HTML page of a search: the rate, what to do next, and the evidence."""

import base64
import datetime
import functools
import importlib.metadata
import importlib.resources
import inspect
import re
import zlib
from math import isfinite
from pathlib import Path

import jinja2
from markupsafe import Markup, escape

from tfx_lr_finder.core.evidence import Evidence
from tfx_lr_finder.core.proof import Proof
from tfx_lr_finder.core.publishing.interval import expectation
from tfx_lr_finder.core.rules import RULES
from tfx_lr_finder.core.suggestion import Suggestion
from tfx_lr_finder.core.trials.halving import Trial
from tfx_lr_finder.core.trials.plan import count, share
from tfx_lr_finder.core.verdict import Verdict
from tfx_lr_finder.views.interactive_plot import InteractivePlot
from tfx_lr_finder.views.view import stop_reasons

_TONES = {Verdict.OK: "good", Verdict.NOISY: "warning", Verdict.EDGE: "warning"}
_FAR_APART = 10.0
"""Rules whose rates differ by more than this factor contradict each other."""


def report(evidence: Evidence, picture: bytes) -> str:
    """Returns a self-contained HTML page, which loads nothing from the network.

    The plot is drawn by Bokeh's script, which is embedded in the page. In print and without
    scripts, the page shows the picture instead. The same evidence gives the same page.

    Args:
        evidence: The evidence to show.
        picture: The PNG that `plot` drew from the same evidence.
    """
    published, plot = evidence.published, InteractivePlot(evidence)
    return _template().render(
        rate=_rate(published.learning_rate),
        verdict=published.verdict.value.replace("_", " "),
        tone=_TONES.get(published.verdict, "problem"),
        meaning=with_code(published.verdict.meaning),
        advice=evidence.advice,
        origin=_origin(evidence),
        picture=base64.b64encode(picture).decode(),
        parts=plot.parts,
        plot=plot.to_dict("plot"),
        script=_packed_script(),
        chosen=evidence.rule,
        rules=[(rule, _meaning(rule), *_answer(a)) for rule, a in evidence.answers.items()],
        contradiction=_contradiction(evidence),
        proofs=[_tested(proof) for proof in evidence.proofs],
        trials=[_tested(trial) for trial in evidence.trials],
        facts=_facts(evidence),
    )


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    # Bokeh reads the plot's JSON in order and needs an object before the references to it.
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}
    template = importlib.resources.files("tfx_lr_finder.views") / "report.html.jinja"
    return environment.from_string(template.read_text("utf-8"))


@functools.cache
def _packed_script() -> str:
    """Returns Bokeh's script, without its widgets and tables, compressed by zlib, as base64."""
    # importlib.resources would import Bokeh, which is slow.
    path = "bokeh/server/static/js/bokeh.min.js"
    script = Path(str(importlib.metadata.distribution("bokeh").locate_file(path)))
    return base64.b64encode(zlib.compress(script.read_bytes(), 9)).decode()


def with_code(text: str) -> Markup:
    """Returns the text, escaped for HTML, with words between backticks as `<code>`."""
    return Markup(re.sub(r"`(\w+)`", r"<code>\1</code>", str(escape(text))))


def _rate(learning_rate: float) -> str:
    return f"{learning_rate:.3g}"


def _loss(loss: float) -> str:
    return f"{loss:.4g}" if isfinite(loss) else "not finite"


def _origin(evidence: Evidence) -> str:
    """Returns a sentence that says how the rate was found."""
    sweeps = count(len(evidence.curves), "sweep")
    if evidence.read is None or evidence.published.is_default:
        reason = f"no rate could be read off {sweeps}"
        if evidence.proofs:
            reason = f"the model did not learn in {count(len(evidence.proofs), 'short training')}"
        return f"The default rate was published: {reason}."
    sentence = f"Read off {sweeps} by the rule {evidence.read.rule}"
    if evidence.trials:
        read, trials = _rate(evidence.read.learning_rate), count(len(evidence.trials), "trial")
        sentence += f" as {read}, then settled by {trials}"
    if evidence.proofs:
        first = evidence.proofs[0].learning_rate
        moved = first != evidence.published.learning_rate
        sentence += f" as {_rate(first)}, at which it did not learn" if moved else ""
        sentence += f"; put to the proof by {count(len(evidence.proofs), 'training')}"
    return f"{sentence}."


def _meaning(rule: str) -> str:
    """Returns a rule's description: the first line of its docstring without "Returns "."""
    first, _, _ = (inspect.getdoc(RULES[rule]) or "").partition("\n")
    return first.removeprefix("Returns ").rstrip(".")


def _answer(answer: Suggestion | Verdict) -> tuple[str, str]:
    """Returns a rule's rate and verdict as text; `none` for the rate if there is no rate."""
    if isinstance(answer, Verdict):
        return "none", answer.value
    return _rate(answer.learning_rate), answer.verdict.value


def _tested(training: Proof | Trial) -> tuple[str, str, str]:
    """Returns the rate, the number of steps and the final loss of a training as text."""
    return _rate(training.learning_rate), str(training.num_steps), _loss(training.loss)


def _contradiction(evidence: Evidence) -> str:
    """Returns a sentence that warns if the rules' rates lie far apart; otherwise ''."""
    rates = [a.learning_rate for a in evidence.answers.values() if isinstance(a, Suggestion)]
    if not rates or max(rates) <= _FAR_APART * min(rates):
        return ""
    return (
        f"The rules differ by more than a decade, from {_rate(min(rates))} to {_rate(max(rates))}: "
        "only the published rate was put to the proof."
    )


def _bound(evidence: Evidence) -> str:
    """Returns the losses that a proof had to end below, as text; '' if there are no proofs."""
    if not evidence.proofs:
        return ""
    proof = evidence.proofs[0]
    start = f"{proof.start_loss:.4g} at the start"
    base = proof.constant_loss
    constant = "not known" if base is None else f"{base:.4g}"
    return f"{start}; best constant output {constant}; on {proof.judged_on.value}"


def _facts(evidence: Evidence) -> dict[str, str]:
    curves, curve = evidence.curves, evidence.curves[0]
    facts = {
        "Date": _date(evidence.ended),
        **evidence.origin,
        "Expected rate": expectation(evidence.published.interval),
        "Model": curve.model,
        "Optimizer": curve.optimizer,
        "Learning rates": f"{_rate(curve.learning_rates[0])} to {_rate(curve.planned_end)}",
        "Steps done": ", ".join(f"{len(c)} of {c.num_steps}" for c in curves),
        "Ended because": stop_reasons(curves),
        "Batch size": str(curve.batch_size),
        "Replicas": _if_several(curve.num_replicas),
        "Batches a step": _if_several(curve.gradient_accumulation_steps),
        "Training to come": f"{curve.train_steps} steps" if curve.train_steps else "not known",
        "Its learning rate": curve.schedule.meaning,
        "Loss to get below": _bound(evidence),
        "Steps in all": f"{evidence.num_steps}{share(evidence.num_steps, curve.train_steps)}",
        "Smoothing": f"{curve.smoothing:g}",
        "Seed": ", ".join(str(c.seed) for c in curves),
        "Spread": "" if evidence.spread is None else f"{evidence.spread:.2g} decades",
        "Duration": f"{evidence.seconds:.1f} s",
        "Versions": ", ".join(f"{name} {version}" for name, version in evidence.versions.items()),
    }
    return {name: fact for name, fact in facts.items() if fact}


def _date(seconds: float) -> str:
    """Returns a time since 1970 as date and time in UTC, or '' if it is not known."""
    ended = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return f"{ended:%Y-%m-%d %H:%M} UTC" if seconds else ""


def _if_several(number: int) -> str:
    return str(number) if number > 1 else ""
