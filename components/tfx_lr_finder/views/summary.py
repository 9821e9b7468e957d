"""What was found, in a line of text, and for the cell of a notebook."""

from tfx_lr_finder.core.evidence import Evidence
from tfx_lr_finder.core.publishing.interval import expectation
from tfx_lr_finder.views.report import with_code


def one_line(evidence: Evidence) -> str:
    """Returns the rate, its interval and its verdict, for example for the end of a log."""
    return f"{_rate(evidence)}{_trust(evidence)}"


def html_summary(evidence: Evidence) -> str:
    """Returns the line as HTML, with what the verdict means and what to do next below it."""
    what_next = f"{evidence.published.verdict.meaning} {evidence.advice}".rstrip()
    return f"<p><strong>{_rate(evidence)}</strong>{_trust(evidence)}<br>{with_code(what_next)}</p>"


def _rate(evidence: Evidence) -> str:
    return f"Learning rate {evidence.published.learning_rate:.3g}"


def _trust(evidence: Evidence) -> str:
    published = evidence.published
    around = "the default" if published.is_default else expectation(published.interval)
    return f"{around and f' ({around})'}, verdict {published.verdict.value}"
