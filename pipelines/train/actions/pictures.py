"""What a training run leaves for the eye: its curves and its confusion matrix, as PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.train.actions.score import Score
from pipelines.train.actions.train import Epoch

MAX_NUMBERED_LABELS = 40  # labels with a number in each cell; more are colours alone


def draw_curves(path: Path, history: Sequence[Epoch]) -> None:
    """Loss and accuracy by epoch. Raises OSError."""
    figure, (left, right) = _figure(1, 2, (10, 4))
    epochs = [e.number for e in history]
    left.plot(epochs, [e.train_loss for e in history], label="training")
    held = [e for e in history if e.val_loss is not None]
    if held:
        left.plot([e.number for e in held], [e.val_loss for e in held], label="held back")
        right.plot([e.number for e in held], [e.val_accuracy for e in held], label="accuracy, held back")
    left.set(xlabel="epoch", ylabel="loss")
    left.legend()
    right.set(xlabel="epoch", ylabel="accuracy", ylim=(0, 1))
    right.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=100)


def draw_confusion(path: Path, score: Score) -> None:
    """Rows are the truth, columns what was said; colours by the share of a row. Raises OSError."""
    n = len(score.labels)
    side = max(4.0, 0.45 * n + 2)
    figure, axes = _figure(1, 1, (side, side))
    share = score.confusion / score.confusion.sum(axis=1, keepdims=True).clip(1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(n), score.labels, rotation=90)
    axes.set_yticks(range(n), score.labels)
    axes.set(xlabel="said", ylabel="true", title=f"accuracy {score.accuracy:.1%} of {score.n}")
    if n <= MAX_NUMBERED_LABELS:
        for row in range(n):
            for column in range(n):
                if score.confusion[row, column]:
                    colour = "white" if share[row, column] > 0.5 else "black"
                    axes.text(
                        column, row, str(score.confusion[row, column]), ha="center", va="center", color=colour
                    )
    figure.tight_layout()
    figure.savefig(path, dpi=100)


def _figure(rows: int, columns: int, size: tuple[float, float]) -> tuple[Any, Any]:
    """Without pyplot: nothing is kept, and no display is asked for."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size)
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns)
