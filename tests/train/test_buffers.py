"""Buffers of a fit are restored into a model that was not fitted, whatever their sizes."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from edframe.train.buffers import take_sizes


class Fitted(nn.Module):
    def __init__(self, hook=True):
        super().__init__()
        self.register_buffer("table", torch.empty(0))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.layer = nn.BatchNorm1d(3)
        if hook:
            self.register_load_state_dict_pre_hook(take_sizes)


def fitted():
    model = Fitted()
    model.table, model.count = torch.arange(6.0, dtype=torch.float64).reshape(2, 3), torch.tensor(7)
    return model


@pytest.mark.parametrize("nest", [lambda model: model, lambda model: nn.Sequential(nn.Identity(), model)])
@pytest.mark.parametrize("made", [Fitted, lambda: copy.deepcopy(Fitted())])
def test_what_a_fit_found_is_restored_with_its_sizes_and_types(nest, made):
    source, target = fitted(), made()
    nest(target).load_state_dict(nest(source).state_dict())
    assert torch.equal(target.table, source.table)
    assert target.table.dtype == torch.float64
    assert int(target.count) == 7
    assert target.table.data_ptr() != source.table.data_ptr()


def test_a_submodule_refuses_other_sizes_as_ever():
    state = fitted().state_dict() | {"layer.running_mean": torch.zeros(4)}
    with pytest.raises(RuntimeError, match=r"size mismatch for layer\.running_mean"):
        Fitted().load_state_dict(state)


def test_a_missing_buffer_is_named():
    state = fitted().state_dict()
    del state["table"]
    with pytest.raises(RuntimeError, match=r"Missing key.*table"):
        Fitted().load_state_dict(state)


def test_without_the_hook_the_sizes_would_be_refused():
    with pytest.raises(RuntimeError, match="size mismatch for table"):
        Fitted(hook=False).load_state_dict(fitted().state_dict())
