"""The network: what a window of frames shows, as a class. One family for every kind of input.

Each frame is encoded; a bidirectional LSTM reads the frames in order; temporal attention pools its states
(Bahdanau et al., ICLR 2015), and the pooled state beside the LSTM's last one goes to one or more heads. For
poses the encoder takes what DD-Net takes (Yang et al., ACM MM Asia 2019): joints, velocities at two time
scales, and the collection of distances between joints. All of it is in the graph, so that an export is whole.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from pipelines.actions.inputs import BOX_FEATURES, Kind
from pipelines.actions.linear_probe import LinearProbe, RidgeProbe

Temporal = Literal["lstm", "attention", "mean", "tcn", "stats", "ridge"]
TEMPORALS: tuple[Temporal, ...] = ("lstm", "attention", "mean", "tcn", "stats", "ridge")


@dataclass(frozen=True, slots=True)
class ActionHead:
    """One question that the network answers. "softmax": one label; "sigmoid": several at once."""

    name: str
    labels: tuple[str, ...]
    kind: Literal["softmax", "sigmoid"] = "softmax"


@dataclass(frozen=True, slots=True)
class NetConfig:
    """`size` is the number of joints of a pose, else of values a frame has.

    `mirrored`: for each joint the one that it becomes in a mirror. Where it is given, an answer is the mean
    of that for the pose and for its mirror image. `members`: so many nets learn side by side, and their
    answers are averaged (Lakshminarayanan et al., NeurIPS 2017). `parts`: of how many values each of a
    frame's inputs is, where it has several; they add up to `size`.
    """

    kind: Kind
    size: int
    window: int
    heads: tuple[ActionHead, ...]
    temporal: Temporal = "lstm"
    hidden: int = 64
    dropout: float = 0.3
    mirrored: tuple[int, ...] = ()
    members: int = 1
    parts: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> NetConfig:
        """Raises KeyError, TypeError or ValueError for data that is not from to_json()."""
        heads = tuple(ActionHead(h["name"], tuple(h["labels"]), h["kind"]) for h in data["heads"])
        lists = {name: tuple(data.get(name, ())) for name in ("mirrored", "parts")}
        return cls(**{**data, "heads": heads, **lists})


class PoseStreams(nn.Module):
    """(B, T, J, 3) -> (B, T, F): joints about the body's middle, where that is, speeds, and distances."""

    def __init__(self, joints: int) -> None:
        super().__init__()
        first, second = torch.triu_indices(joints, joints, 1)
        self.register_buffer("first", first, persistent=False)
        self.register_buffer("second", second, persistent=False)
        self.sizes = (3 * joints + 2, 2 * joints, 2 * joints, len(first))

    def forward(self, poses: Tensor) -> list[Tensor]:
        positions, scores = poses[..., :2], poses[..., 2]
        middle = positions.mean(dim=2, keepdim=True)
        local = positions - middle
        joints = torch.cat((local.flatten(2), scores, middle.flatten(2)), dim=2)
        slow = _speed(positions, 1).flatten(2)
        fast = _speed(positions, 2).flatten(2)
        apart = positions[:, :, self.first] - positions[:, :, self.second]
        distances = (apart.square().sum(dim=3) + 1e-6).sqrt()
        return [joints, 4 * slow, 2 * fast, distances - 1]


class PlainStream(nn.Module):
    """(B, T, F) in units of its own spread over the training set, and its change from frame to frame."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(size, affine=False)
        self.sizes = (size, size)

    def forward(self, values: Tensor) -> list[Tensor]:
        values = self.norm(values.transpose(1, 2)).transpose(1, 2)
        return [values, _speed(values, 1)]


def _speed(values: Tensor, step: int) -> Tensor:
    """Change over `step` frames; 0 at the first ones."""
    change = values[:, step:] - values[:, :-step]
    return torch.cat((torch.zeros_like(values[:, :step]), change), dim=1)


class ConvNorm(nn.Module):
    """Over time: convolution, batch norm, activation. (B, C, T) -> (B, D, T)."""

    def __init__(self, inside: int, outside: int, kernel: int, dilation: int = 1) -> None:
        super().__init__()
        pad = dilation * (kernel - 1) // 2
        self.conv = nn.Conv1d(inside, outside, kernel, padding=pad, dilation=dilation, bias=False)
        self.norm = nn.BatchNorm1d(outside)
        self.act = nn.SiLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(self.conv(x)))


class FrameEncoder(nn.Module):
    """The streams of a frame and of its neighbours -> (B, hidden, T)."""

    def __init__(self, streams: PoseStreams | PlainStream, hidden: int, dropout: float) -> None:
        super().__init__()
        self.streams = streams
        each = hidden // 2 if len(streams.sizes) > 2 else hidden
        self.enter = nn.ModuleList(
            nn.Sequential(ConvNorm(size, hidden, 1), nn.Dropout1d(dropout / 2), ConvNorm(hidden, each, 3))
            for size in streams.sizes
        )
        self.mix = ConvNorm(each * len(streams.sizes), hidden, 1)
        self.near = ConvNorm(hidden, hidden, 3)

    def forward(self, values: Tensor) -> Tensor:
        entered = [
            enter(stream.transpose(1, 2))
            for enter, stream in zip(self.enter, self.streams(values), strict=True)
        ]
        mixed = self.mix(torch.cat(entered, dim=1))
        return mixed + self.near(mixed)


class AttentionPool(nn.Module):
    """(B, T, D) -> (B, D) and the weights (B, T) that sum to 1."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(size, size // 2), nn.Tanh(), nn.Linear(size // 2, 1))

    def forward(self, states: Tensor) -> tuple[Tensor, Tensor]:
        weights = self.score(states).squeeze(2).softmax(dim=1)
        return (weights.unsqueeze(2) * states).sum(dim=1), weights


class LstmReader(nn.Module):
    """A bidirectional LSTM, attention over its states, and its last states."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(hidden, hidden, batch_first=True, bidirectional=True)
        self.pool = AttentionPool(2 * hidden)
        self.size = 4 * hidden
        self.hidden = hidden

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        states, _ = self.lstm(frames)
        pooled, weights = self.pool(states)
        last = torch.cat((states[:, -1, : self.hidden], states[:, 0, self.hidden :]), dim=1)
        return torch.cat((pooled, last), dim=1), weights


class AttentionReader(nn.Module):
    """Attention over the frames, without an LSTM."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.pool = AttentionPool(hidden)
        self.size = hidden

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        pooled: tuple[Tensor, Tensor] = self.pool(frames)
        return pooled


class MeanReader(nn.Module):
    """The mean of the frames."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.size = hidden

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        weights = torch.full_like(frames[:, :, 0], 1.0) / frames.shape[1]
        return frames.mean(dim=1), weights


class TcnReader(nn.Module):
    """Residual dilated convolutions (Bai et al., 2018) and the greatest value over time.

    Three blocks of width hidden with kernel 7 have about as many weights as the LSTM and its attention.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(ConvNorm(hidden, hidden, 7, d) for d in (1, 2, 3))
        self.pool = AttentionPool(hidden)
        self.size = 2 * hidden

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        x = frames.transpose(1, 2)
        for block in self.blocks:
            x = x + block(x)
        pooled, weights = self.pool(x.transpose(1, 2))
        return torch.cat((pooled, x.amax(dim=2)), dim=1), weights


READERS: dict[Temporal, type[Any]] = {
    "lstm": LstmReader,
    "attention": AttentionReader,
    "mean": MeanReader,
    "tcn": TcnReader,
}


class Member(nn.Module):
    """Encoder, temporal pooling (`reader`) and heads: (B, T, …) -> logits (B, C) a head, attention (B, T)."""

    def __init__(self, config: NetConfig) -> None:
        super().__init__()
        streams = PoseStreams(config.size) if config.kind == "pose" else PlainStream(_width(config))
        self.encoder = FrameEncoder(streams, config.hidden, config.dropout)
        self.reader = READERS[config.temporal](config.hidden)
        self.drop = nn.Dropout(config.dropout)
        self.heads = nn.ModuleList(nn.Linear(self.reader.size, len(h.labels)) for h in config.heads)

    def forward(self, windows: Tensor) -> tuple[list[Tensor], Tensor]:
        frames = self.encoder(windows).transpose(1, 2)
        summary, weights = self.reader(frames)
        summary = self.drop(summary)
        return [head(summary) for head in self.heads], weights


class ActionNet(nn.Module):
    """(B, T, …) prepared windows -> logits (B, C) for each head, and attention (B, T).

    While it learns, the members' answers stand one after the other in the batch, (members * B, C), so that
    each learns for itself.
    """

    def __init__(self, config: NetConfig) -> None:
        super().__init__()
        self.config = config
        self.members = nn.ModuleList(_member(config) for _ in range(config.members))

    def forward(self, windows: Tensor) -> tuple[list[Tensor], Tensor]:
        answers = [member(windows) for member in self.members]
        if self.training:
            heads = [torch.cat(column) for column in zip(*(logits for logits, _ in answers), strict=True)]
            return heads, torch.cat([weights for _, weights in answers])
        if self.config.mirrored:
            flipped = windows[:, :, list(self.config.mirrored)]
            flipped = torch.cat((-flipped[..., :1], flipped[..., 1:]), dim=3)
            answers += [member(flipped) for member in self.members]
        n = len(answers)
        heads = [sum(column) / n for column in zip(*(logits for logits, _ in answers), strict=True)]
        return heads, sum(weights for _, weights in answers) / n


def _member(config: NetConfig) -> nn.Module:
    if config.temporal not in ("stats", "ridge"):
        return Member(config)
    if config.kind == "pose":
        raise ValueError(f"{config.temporal} is for embeddings and boxes: a pose needs an encoder")
    answers = [len(head.labels) for head in config.heads]
    single = config.window == 1
    if config.temporal == "stats":
        return LinearProbe(_width(config), answers, single, config.dropout)
    return RidgeProbe(config.parts or (_width(config),), answers, single)


def _width(config: NetConfig) -> int:
    return BOX_FEATURES if config.kind == "boxes" else config.size
