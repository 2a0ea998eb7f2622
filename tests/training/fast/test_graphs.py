"""What can be seen of CUDA graphs without a GPU, by a stand-in; tests marked gpu have the rest."""

from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import pytest
import torch

from ubc_lib.system.errors import ProcessEndsError
from ubc_lib.training.fast.graphs import EAGER_STEPS, StepGraphs


class Trainer:
    """A step that tells whether it trained or was only captured, and a CUDA that goes with it."""

    def __init__(self, monkeypatch):
        self.trained, self.captured, self.now, self.fails = [], [], None, ""
        self.ends = ""
        stream = SimpleNamespace(wait_stream=lambda _: None)
        for name, fake in {
            "Stream": lambda: stream,
            "current_stream": lambda: stream,
            "stream": lambda _: nullcontext(),
            "graph_pool_handle": lambda: "pool",
            "CUDAGraph": SimpleNamespace,
            "graph": self.graph,
        }.items():
            monkeypatch.setattr(torch.cuda, name, fake)

    @contextmanager
    def graph(self, graph, pool, stream):
        self.now = graph
        try:
            yield
        finally:
            self.now = None
            if self.ends:
                raise RuntimeError(self.ends)

    def step(self, rows):
        result = torch.zeros(1)
        if self.now is None:
            self.trained.append(rows.tolist())
            return result.fill_(rows.sum())
        if self.fails:
            raise RuntimeError(self.fails)
        self.captured.append(len(rows))
        self.now.replay = lambda: (
            self.trained.append(rows.tolist()),
            result.fill_(rows.sum()),
        )
        return result


@pytest.fixture
def trainer(monkeypatch):
    return Trainer(monkeypatch)


def test_every_call_trains_once_on_its_own_rows_and_returns_their_result(trainer):
    step = StepGraphs(trainer.step)
    wanted = [torch.tensor(rows) for rows in ([0, 1], [2, 3], [4], [5, 6], [7, 8], [9, 10], [11])]
    results = [step(rows).item() for rows in wanted]
    assert trainer.trained == [rows.tolist() for rows in wanted]
    assert results == [rows.sum().item() for rows in wanted]


def test_a_graph_is_captured_once_for_each_number_of_rows_after_its_first_steps(trainer):
    step = StepGraphs(trainer.step)
    for _ in range(EAGER_STEPS):
        step(torch.arange(4))
        step(torch.arange(2))
    assert trainer.captured == []
    for _ in range(3):
        step(torch.arange(2))
        step(torch.arange(4))
    assert trainer.captured == [2, 4]


def test_a_capture_that_fails_names_the_setting_that_goes_without(trainer):
    step = StepGraphs(trainer.step)
    for _ in range(EAGER_STEPS):
        step(torch.arange(4))
    trainer.fails = "CUDA error: operation not permitted when stream is capturing\nmore"
    with pytest.raises(ProcessEndsError, match=r"is capturing\)\. .*graphs=off"):
        step(torch.arange(4))


@pytest.mark.parametrize("reason", ["CUDA error: out of memory", "CUDA error: unknown error"])
def test_memory_that_ends_in_a_capture_or_a_card_lost_is_told_as_what_it_is(trainer, reason):
    """Ending a broken capture is an error, too, and the one that is raised."""
    step = StepGraphs(trainer.step)
    for _ in range(EAGER_STEPS):
        step(torch.arange(4))
    trainer.fails, trainer.ends = reason, "CUDA error: capture was invalidated"
    with pytest.raises(RuntimeError, match=reason):
        step(torch.arange(4))
