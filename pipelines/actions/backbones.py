"""Backbones for crops, with torchvision's names of weights, so that its published files load here.

Own definitions: torchvision's CUDA build does not import beside a CPU torch. ResNet: He et al., CVPR 2016;
MobileNetV3: Howard et al., ICCV 2019. Other names are taken from torchvision where it can be imported.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from pipelines.detect.errors import ModelRefused


class _Block(nn.Module):
    """A residual block of two 3x3 convolutions, or of 1x1, 3x3, 1x1 where it is a bottleneck."""

    def __init__(self, inside: int, width: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        self.bottleneck = bottleneck
        outside = 4 * width if bottleneck else width
        first, second = (1, stride) if bottleneck else (stride, 1)
        kernel = 1 if bottleneck else 3
        self.conv1 = nn.Conv2d(inside, width, kernel, first, kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, second, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        if bottleneck:
            self.conv3 = nn.Conv2d(width, outside, 1, bias=False)
            self.bn3 = nn.BatchNorm2d(outside)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or inside != outside:
            self.downsample = nn.Sequential(
                nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside)
            )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        if self.bottleneck:
            out = self.bn3(self.conv3(self.relu(out)))
        summed: Tensor = self.relu(out + shortcut)
        return summed


class ResNet(nn.Module):
    """(N, 3, h, w) -> (N, size) without the classifier; `fc` is there for its weights' sake alone."""

    def __init__(self, blocks: tuple[int, int, int, int], bottleneck: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        inside = 64
        for number, (count, width) in enumerate(zip(blocks, (64, 128, 256, 512), strict=True), start=1):
            layer = []
            for i in range(count):
                layer.append(_Block(inside, width, 2 if i == 0 and number > 1 else 1, bottleneck))
                inside = 4 * width if bottleneck else width
            setattr(self, f"layer{number}", nn.Sequential(*layer))
        self.size = inside

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for number in range(1, 5):
            x = getattr(self, f"layer{number}")(x)
        return x.mean(dim=(2, 3))


class _Squeeze(nn.Module):
    """Channels weighed by what the whole picture holds (Hu et al., CVPR 2018)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = _eight(channels // 4)
        self.fc1 = nn.Conv2d(channels, inner, 1)
        self.fc2 = nn.Conv2d(inner, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        weights = x.mean(dim=(2, 3), keepdim=True)
        weights = self.fc2(torch.relu(self.fc1(weights)))
        scaled: Tensor = x * nn.functional.hardsigmoid(weights)
        return scaled


class _Inverted(nn.Module):
    """Widen, convolve each channel, squeeze, narrow; around it the input where the shape stays."""

    def __init__(
        self, inside: int, kernel: int, wide: int, outside: int, squeeze: bool, hard: bool, stride: int
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        if wide != inside:
            layers.append(_conv(inside, wide, 1, 1, 1, hard))
        layers.append(_conv(wide, wide, kernel, stride, wide, hard))
        if squeeze:
            layers.append(_Squeeze(wide))
        layers.append(_conv(wide, outside, 1, 1, 1, None))
        self.block = nn.Sequential(*layers)
        self.around = stride == 1 and inside == outside

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.block(x)
        return x + out if self.around else out


# inside, kernel, wide, outside, squeeze, hard swish, stride
_SMALL = (
    (16, 3, 16, 16, True, False, 2),
    (16, 3, 72, 24, False, False, 2),
    (24, 3, 88, 24, False, False, 1),
    (24, 5, 96, 40, True, True, 2),
    (40, 5, 240, 40, True, True, 1),
    (40, 5, 240, 40, True, True, 1),
    (40, 5, 120, 48, True, True, 1),
    (48, 5, 144, 48, True, True, 1),
    (48, 5, 288, 96, True, True, 2),
    (96, 5, 576, 96, True, True, 1),
    (96, 5, 576, 96, True, True, 1),
)


class MobileNetV3Small(nn.Module):
    """(N, 3, h, w) -> (N, 576) without the classifier."""

    size = 576

    def __init__(self) -> None:
        super().__init__()
        rows = [_Inverted(*row) for row in _SMALL]
        self.features = nn.Sequential(_conv(3, 16, 3, 2, 1, True), *rows, _conv(96, 576, 1, 1, 1, True))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.features(x).mean(dim=(2, 3))
        return found


def _conv(inside: int, outside: int, kernel: int, stride: int, groups: int, hard: bool | None) -> nn.Module:
    """Convolution, batch norm, and hard swish (True), ReLU (False) or nothing (None)."""
    layers: list[nn.Module] = [
        nn.Conv2d(inside, outside, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outside, eps=0.001, momentum=0.01),
    ]
    if hard is not None:
        layers.append(nn.Hardswish() if hard else nn.ReLU())
    return nn.Sequential(*layers)


def _eight(n: int) -> int:
    """The nearest multiple of 8, not more than a tenth below."""
    rounded = max(8, (n + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * n else rounded


BACKBONES: dict[str, Callable[[], nn.Module]] = {
    "mobilenet_v3_small": MobileNetV3Small,
    "resnet18": lambda: ResNet((2, 2, 2, 2), bottleneck=False),
    "resnet50": lambda: ResNet((3, 4, 6, 3), bottleneck=True),
}


def create_backbone(name: str, weights: Path | None = None) -> tuple[nn.Module, int]:
    """A backbone and the size of its embedding, with the weights of a file where one is given.

    Raises ModelRefused for a name that there is not, and for weights that do not fit.
    """
    if name in BACKBONES:
        net = BACKBONES[name]()
        size = int(net.size)
    else:
        net, size = _of_torchvision(name)
    if weights is not None:
        load_weights(net, weights, name)
    return net, size


def load_weights(net: nn.Module, path: Path, name: str) -> None:
    """Take a published state dict; the classifier's weights are left. Runs no code of the file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickles of other protocols: they are refused below
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        first = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise ModelRefused(f"{path}: not a file of weights alone ({first}): save a state_dict") from error
    if not isinstance(loaded, dict):
        raise ModelRefused(f"{path}: holds no state_dict: save one with torch.save(net.state_dict(), …)")
    expected = net.state_dict()
    weights = {k: v for k, v in loaded.items() if not k.startswith(("fc.", "classifier."))}
    missing = sorted(set(expected) - set(weights)) + sorted(set(weights) - set(expected))
    shapes = [k for k in expected if k in weights and weights[k].shape != expected[k].shape]
    if missing or shapes:
        first = (missing or shapes)[0]
        raise ModelRefused(f"{path}: not the weights of {name} ({first!r} does not fit): give the right file")
    net.load_state_dict(weights)


def _of_torchvision(name: str) -> tuple[nn.Module, int]:
    choices = ", ".join(BACKBONES)
    try:
        import torchvision
    except (ImportError, RuntimeError) as error:
        raise ModelRefused(
            f"backbone {name!r}: known here are {choices}; others need torchvision, which does not import "
            f"({str(error)[:80]}): install the build of it that belongs to this torch"
        ) from error
    try:
        net = torchvision.models.get_model(name, weights=None)
    except ValueError as error:
        raise ModelRefused(f"backbone {name!r} is none of {choices}, nor of torchvision's") from error
    for last in ("fc", "classifier", "heads", "head"):
        if hasattr(net, last):
            setattr(net, last, nn.Identity())
    with torch.no_grad():
        size = int(net.eval()(torch.zeros(1, 3, 224, 224)).shape[1])
    return net, size
