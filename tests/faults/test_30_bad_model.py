"""Case 30: a model that is missing, damaged or changed is refused before the swap; the old one serves."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon import Daemon
from tests.moving import camera
from tests.pipelines.detect.tiny_models import yolov8_with_decoder

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def running(redis_binary: str, moving_clip: Path) -> Iterator[Daemon]:  # noqa: ARG001 - it runs one
    """A daemon whose camera runs on the model `good`; `other` is installed too."""
    with tempfile.TemporaryDirectory(prefix="st-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        daemon = Daemon(Path(folder), inference={"engine": "openvino"}, counts={"bucket_s": 5})
        for name in ("good", "other"):
            model = yolov8_with_decoder(Path(folder) / f"{name}.onnx")
            daemon.cli("model", "add", str(model), "--name", name)
        daemon.write_camera({**camera("a", moving_clip, loop=True), "model": "good"})
        daemon.start()
        daemon.wait_for(lambda s: s["cameras"][0]["frames"]["inferred"] > 5, 40, "frames")
        daemon.wait_for(lambda _: serves(daemon, "/good/"), 10, "the model to be told")
        yield daemon
        daemon.kill()


@pytest.fixture
def serving(running: Daemon) -> Iterator[Daemon]:
    """As `running`, and so again after the test, whatever became of `other`."""
    files = [running.state_dir / "models" / "other" / name for name in ("model.onnx", "model.yaml")]
    whole = {path: path.read_bytes() for path in files}
    yield running
    running.cli("camera", "set", "a", "model=good")
    running.wait_for(lambda s: serves(running, "/good/") and not s["warnings"], 20, "the model `good` again")
    for path, content in whole.items():  # afterwards: a worker that tries again would load it meanwhile
        path.chmod(0o644)
        path.write_bytes(content)


def serves(daemon: Daemon, model: str) -> bool:
    return model in daemon.camera("a")["detector"].get("model", "")


def goes_on(daemon: Daemon) -> None:
    before = daemon.camera("a")
    daemon.wait_for(
        lambda s: s["cameras"][0]["frames"]["inferred"] > before["frames"]["inferred"] + 5, 20, "more frames"
    )
    assert daemon.openings("a") == 1


def test_a_model_that_is_not_installed_is_refused_and_the_old_one_serves(serving: Daemon) -> None:
    refused = serving.cli("camera", "set", "a", "model=nowhere", check=False)
    assert refused.returncode == 5
    assert "nowhere" in refused.stderr
    assert serves(serving, "/good/")
    goes_on(serving)


@pytest.mark.parametrize("damage", [b"", b"not a model", None], ids=["empty", "text", "one byte changed"])
def test_a_model_changed_on_disk_is_refused_at_the_swap_and_the_old_one_serves(
    serving: Daemon, damage: bytes | None
) -> None:
    path = serving.state_dir / "models" / "other" / "model.onnx"
    path.chmod(0o644)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]) if damage is None else damage)
    done = serving.cli("camera", "set", "a", "model=other", check=False)
    if done.returncode == 0:  # the change was taken; the worker refused the file
        status = serving.wait_for(lambda s: s["cameras"][0]["warning"], 20, "the refusal")
        assert "the old model serves" in status["cameras"][0]["warning"]
    else:
        assert done.returncode == 5
    assert serves(serving, "/good/")
    goes_on(serving)


def test_a_reload_refused_for_a_model_is_made_when_the_model_is_mended(serving: Daemon) -> None:
    sidecar = serving.state_dir / "models" / "other" / "model.yaml"
    whole = sidecar.read_text()
    sidecar.write_text("sha256: 5\n")
    path = serving.config_dir / "cameras.d" / "a.yaml"
    path.write_text(path.read_text().replace("model: good", "model: other"))
    assert serving.process is not None
    serving.process.send_signal(signal.SIGHUP)
    (warning,) = serving.wait_for(lambda s: s["warnings"], 10, "the refusal")["warnings"]
    assert "not in force" in warning
    assert serves(serving, "/good/")
    sidecar.write_text(whole)
    serving.wait_for(lambda s: not s["warnings"] and serves(serving, "/other/"), 20, "the other model")


def test_a_sound_model_is_swapped_in_without_opening_the_camera_anew(serving: Daemon) -> None:
    serving.cli("camera", "set", "a", "model=other")
    serving.wait_for(lambda _: serves(serving, "/other/"), 20, "the other model")
    goes_on(serving)


def test_a_camera_whose_model_is_damaged_says_so_and_sees_again_once_it_is_mended(
    daemon: Daemon, moving_clip: Path, tmp_path: Path
) -> None:
    """It stayed blind, with its warning, until its configuration was changed; `run --check` saw nothing."""
    daemon.cli("model", "add", str(yolov8_with_decoder(tmp_path / "m.onnx")), "--name", "m")
    (daemon.config_dir / "streamer.yaml").write_text(
        (daemon.config_dir / "streamer.yaml").read_text().replace("engine: motion", "engine: openvino")
    )
    daemon.write_camera({**camera("a", moving_clip, loop=True), "model": "m"})
    path = daemon.state_dir / "models" / "m" / "model.onnx"
    path.chmod(0o644)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    check = daemon.cli("run", "--check", check=False)
    daemon.start()
    (warning,) = daemon.wait_for(lambda s: s["warnings"], 20, "the refusal")["warnings"]
    assert "changed since it was added" in warning
    assert (check.returncode, check.stderr) == (5, f"error: {warning}\n")
    path.write_bytes(whole)
    daemon.wait_for(
        lambda s: s["cameras"][0]["frames"]["inferred"] > 5 and not s["warnings"], 20, "the camera to see"
    )
    assert daemon.cli("run", "--check").stderr == ""
