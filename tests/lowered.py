"""`python -m tests.lowered [avx2|sse42] [words of pytest]`: tests as if on a simpler processor.

Results of floating point differ in their last bits from one processor to the next, and a simpler one has no
bfloat16. What fails here and not in `make test` compares bits where it should compare with a tolerance. ONNX
Runtime and FFmpeg have no such switch and run as they are. The corpus is hidden as well.
"""

from __future__ import annotations

import os
import subprocess
import sys

LEVELS = {  # OPENBLAS_CORETYPE, and how the names begin of what numpy and OpenCV shall not use
    "avx2": ("Haswell", ("AVX512", "X86_V4")),
    "sse42": ("Nehalem", ("AVX", "F16C", "FMA", "FP16", "X86_V3", "X86_V4")),
}


def environment(level: str) -> dict[str, str]:
    """What the libraries read; each refuses or warns of a name that this machine does not know."""
    core, above = LEVELS[level]
    return {
        "OV_CPU_MAX_ISA": level.upper(),  # OpenVINO's own kernels and its choice of precision alone
        "ONEDNN_MAX_CPU_ISA": {"sse42": "SSE41"}.get(level, level.upper()),  # convolutions are oneDNN's
        "OPENBLAS_CORETYPE": core,
        "NPY_DISABLE_CPU_FEATURES": ",".join(n for n in numpy_features() if n.startswith(above)),
        "OPENCV_CPU_DISABLE": ",".join(n for n in opencv_features() if n.startswith(above)),
        "STREAMER_CORPUS": "/nonexistent",
    }


def numpy_features() -> list[str]:
    """Those that numpy chooses at run time and this processor has."""
    from numpy._core import _multiarray_umath as umath

    return [name for name in umath.__cpu_dispatch__ if umath.__cpu_features__.get(name)]


def opencv_features() -> list[str]:
    """Those that OpenCV chooses at run time (a star before the name) and this processor has (no ? behind)."""
    import cv2

    return [n[1:] for n in cv2.getCPUFeaturesLine().split() if n.startswith("*") and not n.endswith("?")]


def main() -> int:
    words = sys.argv[1:]
    level = words.pop(0) if words and words[0] in LEVELS else "avx2"
    lowered = environment(level)
    print(" ".join(f"{name}={value}" for name, value in lowered.items()), flush=True)
    command = [sys.executable, "-m", "pytest", *words]
    return subprocess.run(command, env={**os.environ, **lowered}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
