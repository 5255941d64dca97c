#!/usr/bin/env bash
# torch 2.13.0
#
# Guess: On a CPU a 3D convolution of two samples takes twice as long as that of one.
# Behaviour: for a single sample PyTorch leaves oneDNN aside and runs plain loops (`slow_conv3d`) while channels × the
#   first two axes are at most 20480 points; the last axis does not count, as if a volume were an image. 8 channels of
#   50³ points take five times as long alone as two of them together. `torch.mkldnn_convolution` does one in half the
#   time of two.
# Seen: 8 channels, 50³ points, one thread: one sample 80 ms, two 17 ms, one by mkldnn_convolution 8 ms
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check torch==2.13.0 numpy
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import sys
import time

import torch

torch.set_num_threads(1)
layer = torch.nn.Conv3d(8, 8, 3, bias=False).to(memory_format=torch.channels_last_3d)
two = torch.randn(2, 8, 50, 50, 50).contiguous(memory_format=torch.channels_last_3d)
one = two[:1].contiguous(memory_format=torch.channels_last_3d)


def milliseconds(run):
    best = float("inf")
    for _ in range(7):
        began = time.process_time()
        run()
        best = min(best, time.process_time() - began)
    return 1e3 * best


with torch.no_grad():
    alone = milliseconds(lambda: layer(one))
    both = milliseconds(lambda: layer(two))
    direct = milliseconds(lambda: torch.mkldnn_convolution(one, layer.weight, None, (0, 0, 0), (1, 1, 1), (1, 1, 1), 1))
print(f"8 channels, 50³ points, one thread: one sample {alone:.0f} ms, two {both:.0f} ms, "
      f"one by mkldnn_convolution {direct:.0f} ms")
if alone < 1.5 * both:
    sys.exit("one sample now takes less time than two")
PY
