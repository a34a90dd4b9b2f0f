"""The reader in closed form: nothing smaller is to be had, the same each time, and the same when exported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch: the extra [torch]")

from pipelines.actions.card import EmbedderCard  # noqa: E402
from pipelines.actions.linear_probe import RidgeProbe  # noqa: E402
from pipelines.actions.model import ActionNet  # noqa: E402
from pipelines.actions.runtime import ENGINES, ActionModel  # noqa: E402
from pipelines.train.actions import session  # noqa: E402
from pipelines.train.actions.data import ActionData, DataRefused, HeadTargets, Labelled, one_hot  # noqa: E402
from pipelines.train.actions.export import export  # noqa: E402
from pipelines.train.actions.settings import usual_settings  # noqa: E402
from pipelines.train.actions.train import predict, to_probabilities, train  # noqa: E402

HEADS = (
    HeadTargets("action", ("calm", "wild")),
    HeadTargets("light", ("day", "night", "rain"), several=True),
)
SETTINGS = replace(usual_settings("features"), temporal="ridge", window=8, stride_s=0.5)


def data(n: int = 40, seed: int = 0, parts: tuple[int, ...] = ()) -> ActionData:
    """Six values a frame: how much the first changes is the action, the second the light. Of some clips the
    light is not known."""
    rng = np.random.default_rng(seed)
    items = []
    for i in range(n):
        wild, night = i % 2 == 0, i % 4 < 2
        values = rng.normal(0, 0.3, (16 + i % 5, 6))
        values[:, 0] *= 4 if wild else 1
        values[:, 1] += 2 * night
        words = ("wild" if wild else "calm", ("night|rain" if night else "day") if i % 3 else "")
        targets = tuple(
            one_hot([word] * len(values), h.labels, h.several, "")
            for word, h in zip(words, HEADS, strict=True)
        )
        times_s = np.arange(len(values)) / 8
        items.append(Labelled(str(i), f"g{i // 2}", "", values.astype(np.float32), times_s, targets))
    return ActionData("features", 6, HEADS, tuple(items), grouped=True, whole_picture=True, parts=parts)


def test_it_learns_from_all_groups_and_is_judged_by_those_left_out() -> None:
    trained = session.fit(session.Opened(data()), SETTINGS)
    assert session.test(trained, data(seed=1)).accuracy > 0.95
    assert trained.validation is not None
    assert trained.validation.n == 40
    assert trained.validation.accuracy > 0.9
    assert trained.further["light"].n == 26  # of the others it is not known
    assert [len(t) for t in trained.thresholds] == [2, 3]
    assert "left out in turn" in trained.notes[0]


def test_labels_that_mean_nothing_are_not_found_in_groups_left_out() -> None:
    """What is said of a clip must not come from the clip itself."""
    rng = np.random.default_rng(4)
    noise = data(n=60)
    items = tuple(replace(i, values=rng.normal(size=(16, 6)).astype(np.float32)) for i in noise.sequences)
    items = tuple(replace(i, targets=tuple(t[:16] for t in i.targets)) for i in items)
    items = tuple(replace(i, times_s=np.arange(16) / 8) for i in items)
    trained = train(replace(noise, sequences=items), None, SETTINGS)
    assert trained.validation is not None
    assert trained.validation.accuracy < 0.7


def test_weights_are_the_least_of_what_they_are_to_be() -> None:
    """A step in any direction makes errors and weights together larger."""
    one = replace(data(), heads=HEADS[:1])
    trained = train(one, None, replace(SETTINGS, class_weights=False))
    (member,) = trained.net.members
    assert isinstance(member, RidgeProbe)
    windows = session.cut(one, SETTINGS)
    standardised = member.standardise(member.signed_roots(torch.from_numpy(windows.values))).double()
    true = torch.from_numpy(4.0 * (2 * windows.targets[0] - 1)).double()
    weight = torch.from_numpy(1.0 / np.bincount(windows.sequence)[windows.sequence])[:, None]
    layer = member.heads[0]
    found, bias = layer.weight.detach().double(), layer.bias.detach().double()

    def costs(change: Any, strength: float) -> float:
        errors = weight * (standardised @ (found + change).T + bias - true) ** 2
        return float(errors.sum() + strength * ((found + change) ** 2).sum())

    random = torch.Generator().manual_seed(0)
    steps = [1e-3 * torch.randn(found.shape, generator=random).double() for _ in range(20)]
    fits = [
        all(costs(step, s) > costs(0 * step, s) for step in steps) for s in (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
    ]
    assert any(fits)  # for the strength that was chosen
    assert not all(fits)


def test_it_is_the_same_again_and_on_both_engines(tmp_path: Path) -> None:
    first, again = (train(data(parts=(4, 2)), None, SETTINGS) for _ in range(2))
    for a, b in zip(first.net.state_dict().values(), again.net.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    card = EmbedderCard(sha256="0" * 64, strides=(16, 32))
    export(first, tmp_path / "m.onnx", embedder=card)
    windows = session.cut(data(seed=2), SETTINGS)
    logits, _ = predict(first.net, windows)
    expected = [
        to_probabilities(s / t, h.several) for s, t, h in zip(logits, first.temperatures, HEADS, strict=True)
    ]
    for engine in ENGINES:
        heads, _ = ActionModel(tmp_path / "m.onnx", engine=engine).classify(windows.values)
        for a, b in zip(heads, expected, strict=True):
            assert np.abs(a - b).max() < 1e-3


def test_a_model_that_was_saved_is_the_same(tmp_path: Path) -> None:
    opened = session.Opened(data(parts=(4, 2)), embedder=EmbedderCard(sha256="0" * 64, strides=(16,)))
    trained = session.fit(opened, SETTINGS)
    session.write_results(tmp_path, opened, trained, None)
    _, loaded = session.load_model(tmp_path / "model.pt")
    windows = session.cut(data(seed=2), SETTINGS)
    assert np.array_equal(predict(trained.net, windows)[0][0], predict(loaded.net, windows)[0][0])


def test_inputs_weigh_the_same_however_many_values_each_has() -> None:
    member = RidgeProbe((90, 10), [2], single=False)
    sides = member.standardise(torch.ones(1, 200))[0].square()
    assert float(sides[:90].sum() + sides[100:190].sum()) == pytest.approx(0.5)
    assert float(sides[90:100].sum() + sides[190:].sum()) == pytest.approx(0.5)


def test_a_value_that_never_changed_in_training_decides_nothing() -> None:
    dead = data()
    for item in dead.sequences:
        item.values[:, 5] = 0.25
    trained = train(dead, None, SETTINGS)
    windows = session.cut(dead, SETTINGS)
    before = predict(trained.net, windows)[0][0]
    windows.values[..., 5] = 3.0
    assert np.abs(predict(trained.net, windows)[0][0] - before).max() < 1e-3


def test_what_has_no_single_solution_is_refused_in_one_line() -> None:
    with pytest.raises(DataRefused, match="--backbone and --members") as refused:
        train(data(), None, replace(SETTINGS, members=2))
    assert "\n" not in str(refused.value)
    with pytest.raises(ValueError, match="ridge is for embeddings and boxes"):
        ActionNet(SETTINGS.net(ActionData("pose", 17, HEADS, ())))


def test_windows_are_of_what_was_seen_where_a_clip_is_long_enough() -> None:
    clips = data()
    half, whole = (session.cut(clips, replace(SETTINGS, fill=fill, stride_s=0.125)) for fill in (0.5, 1.0))
    standing = (np.abs(np.diff(half.values[:, :2], axis=1)).max(axis=(1, 2)) == 0).sum()
    assert standing == 3 * len(clips.sequences)
    assert (np.abs(np.diff(whole.values[:, :2], axis=1)).max(axis=(1, 2)) > 0).all()
    short = replace(
        clips,
        sequences=tuple(
            replace(s, values=s.values[:4], times_s=s.times_s[:4], targets=tuple(t[:4] for t in s.targets))
            for s in clips.sequences
        ),
    )
    assert len(session.cut(short, SETTINGS)) == len(clips.sequences)
