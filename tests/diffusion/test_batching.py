import copy
import pickle
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from augsal_transforms.diffusion.batching import Batches


def sizes_seen(batches, items, shapes=None, *, holds=100):
    """How many items each call got, with a memory that holds so many; results must be in order."""
    seen = []

    def double(batch):
        seen.append(len(batch))
        if len(batch) > holds:
            raise torch.OutOfMemoryError("out of memory")
        return [2 * item for item in batch]

    assert batches.run(double, items, shapes or [0] * len(items)) == [2 * item for item in items]
    return seen


def test_equal_shapes_go_together_and_results_come_back_in_order():
    assert sizes_seen(Batches(2), [1, 2, 3, 4, 5], ["a", "b", "a", "b", "a"]) == [2, 1, 2]


def test_what_memory_does_not_hold_is_halved_once_and_remembered():
    batches = Batches(8)
    with pytest.warns(UserWarning, match="does not hold a batch of") as warned:
        assert sizes_seen(batches, list(range(10)), holds=3) == [8, 4, 2, 2, 2, 2, 2]
    assert len(warned) == 2
    assert sizes_seen(batches, [1, 2, 3], holds=3) == [2, 1]


def test_a_small_batch_that_does_not_fit_is_halved_from_its_own_size():
    with pytest.warns(UserWarning, match="a batch of 3; batches of 1 from here"):
        assert sizes_seen(Batches(8), [1, 2, 3], holds=1) == [3, 1, 1, 1]


def test_a_batch_that_was_under_way_does_not_raise_what_is_remembered():
    batches, seen = Batches(8), []

    def run_out(batch):
        seen.append(len(batch))
        if len(seen) == 1:
            batches.size = 1  # as another thread would have it
            raise torch.OutOfMemoryError("out of memory")
        return batch

    with pytest.warns(UserWarning, match="batches of 1 from here"):
        batches.run(run_out, [1, 2, 3, 4, 5, 6, 7, 8], [0] * 8)
    assert seen == [8] + [1] * 8


def test_one_item_that_does_not_fit_is_an_error():
    with pytest.raises(torch.OutOfMemoryError):
        sizes_seen(Batches(1), [1], holds=0)


def test_filled_batches_are_all_of_one_size():
    assert sizes_seen(Batches(4, filled=True), [1, 2, 3, 4, 5]) == [4, 4]
    assert sizes_seen(Batches(4, filled=True), []) == []


def test_threads_that_run_out_together_halve_to_the_smallest_and_never_back():
    """Eight threads, a memory of three items: the results are in order, and the size that is left fits."""
    batches, lock, running = Batches(16), threading.Lock(), []

    def double(batch):
        with lock:
            running.append(len(batch))
        if len(batch) > 3:
            raise torch.OutOfMemoryError("out of memory")
        return [2 * item for item in batch]

    items = list(range(40))
    with warnings.catch_warnings(), ThreadPoolExecutor(8) as pool:
        warnings.simplefilter("ignore")
        results = list(pool.map(lambda _: batches.run(double, items, [0] * 40), range(8)))
    assert results == [[2 * item for item in items]] * 8
    assert batches.size == 2  # 16, 8, 4, 2


def test_batches_can_be_copied_and_pickled():
    batches = Batches(4, filled=True)
    for copied in (pickle.loads(pickle.dumps(batches)), copy.deepcopy(batches)):
        assert (copied.size, copied.filled) == (4, True)
        assert sizes_seen(copied, [1, 2]) == [4]


@pytest.mark.parametrize(
    "words", ["cuDNN error: CUDNN_STATUS_ALLOC_FAILED", "DefaultCPUAllocator: can't allocate memory"]
)
def test_other_words_for_a_lack_of_memory_halve_the_batch_too(words):
    def refuse(batch):
        if len(batch) > 2:
            raise RuntimeError(words)
        return batch

    batches = Batches(4)
    with pytest.warns(UserWarning, match="batches of 2 from here"):
        assert batches.run(refuse, [1, 2, 3, 4], ["same"] * 4) == [1, 2, 3, 4]


def test_another_error_does_not_halve_the_batch():
    def fail(batch):
        raise RuntimeError("a wrong shape")

    batches = Batches(4)
    with pytest.raises(RuntimeError, match="a wrong shape"):
        batches.run(fail, [1, 2], ["same"] * 2)
    assert batches.size == 4
