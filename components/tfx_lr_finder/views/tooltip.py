"""The text that the interactive plot shows at the mouse."""

from tfx_lr_finder.core.smoothing import Array


def listed(losses: dict[str, Array], index: int) -> str:
    """Returns the losses of one step by name, without the word "loss"."""
    return ", ".join(
        f"{name.removesuffix(' loss')} {line[index]:.4g}" for name, line in losses.items()
    )


def table(rows: dict[str, str]) -> str:
    """Returns an HTML table. Nothing is escaped, so the text must come from this package."""
    cells = (f"<tr><th align=left>{name}</th><td>{value}</td></tr>" for name, value in rows.items())
    return f"<table>{''.join(cells)}</table>"
