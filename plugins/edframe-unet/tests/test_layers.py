"""The convolution: the same for one sample as for several, in value, gradient and speed."""

from __future__ import annotations

import torch
from edframe_unet.layers import Convolution, pad
from torch.autograd.profiler import profile
from torch.nn import functional as F

PERIODIC = (True, False, True)


def test_a_single_sample_is_convolved_as_several_are_and_not_by_the_plain_loops():
    layer = Convolution(3, 4, 4, 3)
    x = torch.randn(1, 4, 9, 8, 10, requires_grad=True)
    with profile() as seen:
        convolved = layer(x, PERIODIC)
        convolved.square().sum().backward()
    names = {event.name for event in seen.function_events}
    assert "aten::mkldnn_convolution" in names
    assert not [name for name in names if "slow_conv3d" in name]
    gradients = [x.grad.clone(), layer.convolution.weight.grad.clone()]
    x.grad, layer.convolution.weight.grad = None, None
    plain = F.conv3d(pad(x.double(), 1, PERIODIC), layer.convolution.weight.double())
    plain.square().sum().backward()
    torch.testing.assert_close(convolved.double(), plain, rtol=1e-5, atol=1e-5)
    for ours, theirs in zip(gradients, (x.grad, layer.convolution.weight.grad), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
