"""The sets of the actions bench: JHMDB poses, UR Fall poses and CCTV fights, each trained and tested anew."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.actions.card import HeadCard
from pipelines.actions.hysteresis import HysteresisTrigger
from pipelines.actions.model import ActionNet
from pipelines.train.actions import session
from pipelines.train.actions.data import ActionData, read_keypoints
from pipelines.train.actions.score import Score, score, wilson
from pipelines.train.actions.settings import TrainSettings, usual_settings
from pipelines.train.actions.sources import DataSource
from pipelines.train.actions.split import fold_of, part
from pipelines.train.actions.train import predict, to_probabilities, train
from pipelines.train.actions.windows import cut_windows
from tests.bench.actions import Say

Row = dict[str, Any]
VARIANTS = {
    "lstm": "LSTM with attention",
    "attention": "attention without LSTM",
    "mean": "mean pooling",
    "tcn": "temporal convolution of equal size",
    "stats": "mean and deviation, one linear layer",
    "ridge": "mean and deviation, ridge in closed form",
}


def quiet(what: str, done: int, total: int) -> None:
    """No progress."""


def _parameters(net: Any) -> int:
    return sum(p.numel() for p in net.parameters())


# ---- JHMDB: 14 classes of whole clips, split 1


def jhmdb_settings() -> TrainSettings:
    """Chosen on folds of the training part alone: `streamer actions train … --folds 5`."""
    return replace(usual_settings("pose"), window=32, rate_hz=None, val_share=0.0, epochs=60, members=3)


def jhmdb(corpus: Path, seeds: int, variants: tuple[str, ...], say: Say) -> list[Row]:
    data = session.open_data(DataSource(corpus / "actions/jhmdb"), jhmdb_settings(), None, quiet).data
    learn, held = part(data, "train"), part(data, "test")
    rows = [_nearest(learn, held)]
    say(f"nearest neighbour {rows[0]['accuracy']}")
    for name in variants:
        settings = replace(jhmdb_settings(), temporal=name)
        scores = []
        for seed in range(seeds):
            trained = train(learn, None, replace(settings, seed=seed))
            scores.append(session.test(trained, held))
            say(f"{name} seed {seed}: {scores[-1].accuracy:.4f}")
        rows.append(_row(VARIANTS[name], scores, _parameters(ActionNet(settings.net(data)))))
    return rows


def _nearest(learn: ActionData, held: ActionData) -> Row:
    """The label of the nearest training clip: mean distance of joints of the normalised, stretched clips."""
    a, b = (cut_windows(each, 32, None) for each in (learn, held))
    flat = a.values[..., :2].reshape(len(a), -1)
    told = [int(np.abs(flat - row).mean(axis=1).argmin()) for row in b.values[..., :2].reshape(len(b), -1)]
    return _row("nearest neighbour", [score(learn.heads[0].labels, a.targets[0][told], b.targets[0])], 0)


def _row(name: str, scores: list[Score], weights: int) -> Row:
    """The mean over seeds; the interval is that of the mean share over one test set."""
    accuracy = float(np.mean([s.accuracy for s in scores]))
    low, high = wilson(round(accuracy * scores[0].n), scores[0].n)
    return {
        "name": name,
        "accuracy": round(accuracy, 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "worst": round(min(s.accuracy for s in scores), 4),
        "best": round(max(s.accuracy for s in scores), 4),
        "macro_f1": round(float(np.mean([s.macro_f1 for s in scores])), 4),
        "n": scores[0].n,
        "seeds": len(scores),
        "weights": weights,
    }


# ---- UR Fall: every frame normal (0), falling (1) or fallen (2); videos left out


def urfd_settings() -> TrainSettings:
    return replace(
        usual_settings("pose"),
        window=16,
        rate_hz=12.0,
        stride_s=1 / 15,
        lag_s=0.25,
        val_share=0.0,
        epochs=12,
        batch=64,
        mixup=0.0,
        augment=replace(usual_settings("pose").augment, warp=0.15),
    )


def urfd(corpus: Path, folds: int, temporal: str, say: Say) -> Row:
    """Leave videos out: each video's frames are judged by a net that never saw it."""
    data = read_keypoints(corpus / "actions/urfd/poses_fall01-20.csv")
    settings = replace(urfd_settings(), temporal=temporal)
    index = fold_of(data.sequences, folds, 0)
    total: Score | None = None
    found = false = true_falls = 0
    for fold in range(folds):
        learn = data.subset(s for s, f in zip(data.sequences, index, strict=True) if f != fold)
        held = data.subset(s for s, f in zip(data.sequences, index, strict=True) if f == fold)
        trained = train(learn, None, settings)
        every = replace(settings, stride_s=1 / 30)
        windows = session.cut(held, every)
        said = to_probabilities(predict(trained.net, windows)[0][0], several=False)
        one = score(data.heads[0].labels, said, windows.targets[0])
        total = one if total is None else Score(one.labels, total.confusion + one.confusion)
        for number in range(len(held.sequences)):
            mine = windows.sequence == number
            hits, wrong, there = _falls(windows.moments_s[mine], said[mine], windows.targets[0][mine])
            found, false, true_falls = found + hits, false + wrong, true_falls + there
        say(f"fold {fold}: macro F1 {one.macro_f1:.3f}, falls found {found} of {true_falls}, false {false}")
    assert total is not None
    return {
        **total.to_json(),
        "name": VARIANTS[temporal],
        "folds": folds,
        "falls": true_falls,
        "found": found,
        "false": false,
    }


def _falls(times_s: Any, said: Any, true: Any) -> tuple[int, int, int]:
    """A video's falls by the live engine's own rules: (found, false, there)."""
    down = np.stack([said[:, 0], said[:, 1] + said[:, 2]], axis=1)
    trigger = HysteresisTrigger(HeadCard(name="fall", labels=("normal", "fall"), silent=("normal",)), 0.3)
    told = []
    for time_s, row in zip(times_s.tolist(), down.tolist(), strict=True):
        told += [(a.start_s, a.end_s) for a in trigger.update(time_s, row, [])]
    is_down = true.argmax(axis=1) > 0
    spans = _spans(times_s, is_down)
    hits, wrong = _match(told, spans)
    return hits, wrong, len(spans)


def _match(
    found_s: list[tuple[float, float]], true_s: list[tuple[float, float]], slack_s: float = 0.5
) -> tuple[int, int]:
    """(true events that were found, found ones that meet no true event). Each by overlap, with `slack_s`."""

    def meet(a: tuple[float, float], b: tuple[float, float]) -> bool:
        return a[0] <= b[1] + slack_s and b[0] <= a[1] + slack_s

    hits = sum(any(meet(f, t) for f in found_s) for t in true_s)
    return hits, sum(not any(meet(f, t) for t in true_s) for f in found_s)


def _spans(times_s: Any, flags: Any, join_s: float = 1.0) -> list[tuple[float, float]]:
    """Runs of true flags, joined over short gaps; of half a second at least."""
    spans: list[list[float]] = []
    for time_s in times_s[flags].tolist():
        if spans and time_s - spans[-1][1] <= join_s:
            spans[-1][1] = time_s
        else:
            spans.append([time_s, time_s])
    return [(a, b) for a, b in spans if b - a >= 0.5]


# ---- CCTV fights: clips of two seconds, by scene

FOLDS = 5
INPUTS = ("moved", "flow", "people")  # of a whole picture, in the order of their values


def fight_settings(temporal: str = "lstm") -> TrainSettings:
    """Chosen by cross-validation within the training scenes."""
    if temporal in ("stats", "ridge"):
        settings = replace(usual_settings("features"), window=20, rate_hz=12.5, val_share=0.0)
        return replace(settings, temporal=temporal)  # type: ignore[arg-type]
    settings = replace(usual_settings("crops"), rate_hz=12.5, stride_s=0.25, fill=1.0, epochs=15)
    return replace(settings, temporal=temporal, val_share=0.0)  # type: ignore[arg-type]


def fight(
    corpus: Path,
    cache: Path,
    detector: Path,
    inputs: tuple[str, ...],
    variants: tuple[str, ...],
    seeds: int,
    partitions: int,
    say: Say,
) -> list[Row]:
    """For each of `inputs` ("moved+flow") and `variants`: the given split by scene, and cross-validation by
    scene over all clips, for so many partitions of the scenes. All inputs come from one embedding."""
    wanted = tuple(name for name in INPUTS if any(name in names.split("+") for names in inputs))
    source = DataSource(corpus / "actions/fight/clips.csv", detector=detector, cache=cache, inputs=wanted)
    opened = session.open_data(
        source, fight_settings(), None, lambda w, i, n: say(f"{w} {i} of {n}") if i % 32 == 0 else None
    )
    rows = []
    for names in inputs:
        data = _only(opened.data, wanted, tuple(names.split("+")))
        learn, held = part(data, "train"), part(data, "test")
        for variant in variants:
            settings = fight_settings(variant)
            scores = [
                session.test(train(learn, None, replace(settings, seed=seed)), held) for seed in range(seeds)
            ]
            weights = _parameters(ActionNet(settings.net(data)))
            row = _row(f"{names}: {VARIANTS[variant]}", scores, weights)
            say(f"{row['name']}: given split {row['accuracy']:.3f}")
            if partitions:
                row["crossed"] = _crossed(session.Opened(data), settings, partitions, say)
            rows.append(row)
    return rows


def _only(data: ActionData, there: tuple[str, ...], names: tuple[str, ...]) -> ActionData:
    """The values of these inputs alone, of those that are there."""
    ends = np.cumsum(data.parts).tolist()
    spans = {name: np.arange(end - n, end) for name, end, n in zip(there, ends, data.parts, strict=True)}
    chosen = [spans[name] for name in there if name in names]
    columns = np.concatenate(chosen)
    items = tuple(replace(item, values=item.values[:, columns]) for item in data.sequences)
    return replace(data, size=len(columns), parts=tuple(len(c) for c in chosen), sequences=items)


def _crossed(opened: session.Opened, settings: TrainSettings, partitions: int, say: Say) -> Row:
    """The mean over partitions of the scenes; the interval is that of the mean share of all clips."""
    found = [
        session.cross_validate(opened, replace(settings, seed=seed), FOLDS) for seed in range(partitions)
    ]
    say(f"cross-validated: {', '.join(f'{s.accuracy:.3f}' for s in found)}")
    accuracy, n = float(np.mean([s.accuracy for s in found])), found[0].n
    low, high = wilson(round(accuracy * n), n)
    return {
        "accuracy": round(accuracy, 4),
        "interval_95": [round(low, 4), round(high, 4)],
        "each": [round(s.accuracy, 4) for s in found],
        "n": n,
    }


def fight_crops(corpus: Path, epochs: int, say: Say) -> Row:
    """MobileNetV3-small from nothing on the pixels: what the same command gives without published weights."""
    backbone = session.BackboneChoice("mobilenet_v3_small", size=(112, 112))
    settings = replace(
        usual_settings("crops"), window=12, rate_hz=6.0, stride_s=0.5, val_share=0.0, epochs=epochs, batch=8
    )
    opened = session.open_data(DataSource(corpus / "actions/fight/clips.csv"), settings, backbone, quiet)
    learn, held = part(opened.data, "train"), part(opened.data, "test")
    trained = train(
        learn, None, settings, make_net=opened.net_maker(settings),
        progress=lambda e, n: say(f"crops epoch {e.number} of {n}: loss {e.train_loss:.3f}"),
    )  # fmt: skip
    return _row(
        "crops, MobileNetV3-small from nothing", [session.test(trained, held)], _parameters(trained.net)
    )


def scratch() -> Path:
    """Where embedded clips are kept between runs."""
    return Path(tempfile.gettempdir()) / "streamer-bench-actions"
