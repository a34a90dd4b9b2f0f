"""Training: reproducible, resumable, exported without a difference; and what is refused. Needs torch."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch: the extra [torch]")

from pipelines.actions.backbones import BACKBONES, create_backbone  # noqa: E402
from pipelines.actions.model import ActionNet  # noqa: E402
from pipelines.actions.runtime import ENGINES, ActionModel  # noqa: E402
from pipelines.detect.errors import ModelRefused  # noqa: E402
from pipelines.train.actions import session  # noqa: E402
from pipelines.train.actions.augment import warp_time  # noqa: E402
from pipelines.train.actions.checkpoint import load_checkpoint, save_checkpoint  # noqa: E402
from pipelines.train.actions.data import ActionData, DataRefused, HeadTargets, LabelledSequence, one_hot  # noqa: E402
from pipelines.train.actions.export import export  # noqa: E402
from pipelines.train.actions.score import SeveralScore  # noqa: E402
from pipelines.train.actions.search import draw_trials  # noqa: E402
from pipelines.train.actions.settings import TrainSettings, usual_settings  # noqa: E402
from pipelines.train.actions.train import Trained, predict, to_probabilities, train  # noqa: E402

HEADS = (HeadTargets("action", ("up", "down")), HeadTargets("mood", ("calm", "loud", "sad"), several=True))


def parameters(net: torch.nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def data(n: int = 24, seed: int = 0) -> ActionData:
    """Values that rise or fall, and a mood that is in their size."""
    rng = np.random.default_rng(seed)
    items = []
    for i in range(n):
        up, loud = i % 2 == 0, i % 4 < 2
        values = np.linspace(0, 1 if up else -1, 16)[:, None] * (3 if loud else 1) + rng.normal(
            0, 0.1, (16, 6)
        )
        words = (["up" if up else "down"] * 16, ["loud|sad" if loud else "calm"] * 16 if i % 3 else [""] * 16)
        targets = tuple(one_hot(w, h.labels, h.several, "") for w, h in zip(words, HEADS, strict=True))
        items.append(
            LabelledSequence(str(i), f"g{i // 2}", "", values.astype(np.float32), np.arange(16) / 8, targets)
        )
    return ActionData("features", 6, HEADS, tuple(items), grouped=True)


SETTINGS = replace(
    usual_settings("crops"), window=8, hidden=8, epochs=8, batch=8, stride_s=0.5, val_share=0.25, lr=5e-3
)


@pytest.fixture(scope="module")
def trained() -> Trained:
    return session.fit(session.Opened(data()), SETTINGS)


def test_two_heads_are_learnt_from_labels_of_which_some_are_unknown(trained: Trained) -> None:
    held = session.cut(data(seed=1), SETTINGS)
    logits, attention = predict(trained.net, held)
    said = to_probabilities(logits[0], several=False)
    assert (said.argmax(axis=1) == held.targets[0].argmax(axis=1)).mean() > 0.9
    assert logits[1].shape[1] == 3
    assert attention.sum(axis=1) == pytest.approx(1, abs=1e-4)
    assert len(trained.thresholds) == 2


def test_a_seed_gives_the_same_net_again(trained: Trained) -> None:
    again = session.fit(session.Opened(data()), SETTINGS)
    for a, b in zip(trained.net.state_dict().values(), again.net.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_a_run_that_was_stopped_goes_on_to_the_same_net(tmp_path: Path) -> None:
    class Stopped(Exception):
        pass

    def stop(epoch: object, _: int) -> None:
        if getattr(epoch, "number", 0) == 6:
            raise Stopped

    path = tmp_path / "c.pt"
    with pytest.raises(Stopped):
        train(data(), None, SETTINGS, checkpoint=path, progress=stop)
    went_on = train(data(), None, SETTINGS, checkpoint=path)
    whole = train(data(), None, SETTINGS)
    assert [e.number for e in went_on.history] == list(range(1, 9))
    for a, b in zip(went_on.net.state_dict().values(), whole.net.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    train(data(), None, SETTINGS, checkpoint=path)
    for other in (replace(SETTINGS, hidden=16), replace(SETTINGS, temporal="mean")):
        with pytest.raises(DataRefused, match="of another run"):
            train(data(), None, other, checkpoint=path)


@pytest.mark.parametrize("content", [pickle.dumps(print), b"", b"PK\x03\x04 no zip"])
def test_a_pickle_in_disguise_runs_nothing_and_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(DataRefused, match="no checkpoint of ours"):
        session.load_model(path)
    with pytest.raises(ModelRefused, match="not a file of weights"):
        create_backbone("resnet18", path)


@pytest.mark.parametrize("temporal", ["lstm", "attention", "mean", "tcn", "stats"])
def test_what_is_exported_says_the_same_as_torch_on_both_engines(tmp_path: Path, temporal: str) -> None:
    settings = replace(SETTINGS, temporal=temporal, epochs=1, members=2)  # type: ignore[arg-type]
    net = session.fit(session.Opened(data()), settings)
    export(net, tmp_path / "m.onnx", embedder=None if net.data.kind != "features" else _embedder())
    windows = session.cut(data(seed=2), settings)
    logits, weights = predict(net.net, windows)
    expected = [
        to_probabilities(s / t, h.several) for s, t, h in zip(logits, net.temperatures, HEADS, strict=True)
    ]
    for engine in ENGINES:
        heads, attention = ActionModel(tmp_path / "m.onnx", engine=engine).classify(windows.values)
        for a, b in zip([*heads, attention], [*expected, weights], strict=True):
            assert np.abs(a - b).max() < 1e-3


def _embedder() -> session.EmbedderCard:
    return session.EmbedderCard(sha256="0" * 64, strides=(16, 32))


def test_a_model_that_was_saved_is_exported_again_the_same(tmp_path: Path, trained: Trained) -> None:
    opened = session.Opened(data(), embedder=_embedder())
    session.write_results(tmp_path, opened, trained, None)
    again, loaded = session.load_model(tmp_path / "model.pt")
    session.export_model(again, loaded, tmp_path / "again.onnx")
    first, second = (ActionModel(tmp_path / f"{n}.onnx") for n in ("model", "again"))
    windows = session.cut(data(seed=2), SETTINGS)
    assert np.array_equal(first.classify(windows.values)[0][0], second.classify(windows.values)[0][0])
    assert {p.name for p in tmp_path.iterdir()} >= {"curves.png", "confusion.png", "result.json"}


def test_a_model_of_another_architecture_is_refused_and_nothing_is_written(
    tmp_path: Path, trained: Trained
) -> None:
    session.save_model(tmp_path / "model.pt", session.Opened(data()), trained)
    kept = load_checkpoint(tmp_path / "model.pt")
    kept.state["config"]["hidden"] *= 2
    save_checkpoint(tmp_path / "model.pt", kept)
    with pytest.raises(DataRefused, match="do not fit this program") as refused:
        session.load_model(tmp_path / "model.pt")
    assert "\n" not in str(refused.value)
    run = tmp_path / "run.pt"
    train(data(), None, SETTINGS, checkpoint=run)
    with pytest.raises(DataRefused, match="a checkpoint of a run"):
        session.load_model(run)
    assert {p.name for p in tmp_path.iterdir()} == {"model.pt", "run.pt"}


def test_a_held_back_part_of_several_labels_is_judged_by_each(trained: Trained) -> None:
    mood = trained.further["mood"]
    assert isinstance(mood, SeveralScore)
    assert mood.labels == ("calm", "loud", "sad")
    assert trained.validation is not None
    assert 0 < mood.n <= trained.validation.n  # where it is known
    assert all(np.isfinite(e.val_loss) and e.val_loss > 0 for e in trained.history if e.val_loss is not None)


def test_bf16_learns_too() -> None:
    low = session.fit(session.Opened(data()), replace(SETTINGS, precision="bf16"))
    assert low.validation is not None
    assert low.validation.accuracy > 0.8


@pytest.mark.parametrize(
    ("name", "weights", "some"),
    [
        ("mobilenet_v3_small", 927_008, "features.4.block.2.fc1.weight"),
        ("resnet18", 11_176_512, "layer2.0.downsample.0.weight"),
        ("resnet50", 23_508_032, "layer4.2.conv3.weight"),
    ],
)
def test_backbones_have_the_published_names_and_numbers_of_weights(
    name: str, weights: int, some: str
) -> None:
    """As torchvision counts them, without the classifier."""
    net, size = create_backbone(name)
    assert parameters(net) == weights
    assert some in net.state_dict()
    assert net.eval()(torch.zeros(1, 3, 64, 64)).shape == (1, size)
    assert name in BACKBONES


def test_weights_of_another_backbone_are_refused(tmp_path: Path) -> None:
    net, _ = create_backbone("resnet18")
    torch.save({**net.state_dict(), "fc.weight": torch.zeros(1)}, tmp_path / "w.pth")
    create_backbone("resnet18", tmp_path / "w.pth")
    with pytest.raises(ModelRefused, match="not the weights of mobilenet_v3_small"):
        create_backbone("mobilenet_v3_small", tmp_path / "w.pth")


def test_a_warped_window_keeps_its_ends_in_order() -> None:
    line = torch.linspace(0, 1, 32).reshape(1, 32, 1).repeat(50, 1, 1)
    warped = warp_time(line, 0.4, torch.Generator().manual_seed(0))
    assert (warped[:, 1:] >= warped[:, :-1] - 1e-5).all()
    assert warped.min() >= 0
    assert warped.max() <= 1


def test_a_search_begins_with_what_is_usual_and_repeats_for_a_seed() -> None:
    first = [t.settings for t in draw_trials(TrainSettings(), 5)]
    assert first[0] == TrainSettings()
    assert first == [t.settings for t in draw_trials(TrainSettings(), 5)]
    assert len(set(map(str, first))) == 5


def test_members_learn_apart(trained: Trained) -> None:
    torch.manual_seed(0)
    net = ActionNet(replace(SETTINGS, members=3).net(trained.data))
    assert parameters(net) == 3 * parameters(ActionNet(SETTINGS.net(trained.data)))
    heads, _ = net.train()(torch.zeros(4, 8, 6))
    assert heads[0].shape == (12, 2)
    assert net.eval()(torch.zeros(4, 8, 6))[0][0].shape == (4, 2)
