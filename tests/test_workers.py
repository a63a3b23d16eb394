"""Calls on worker processes: order, errors, threads and what is left behind."""

import multiprocessing
import os
import signal

import pytest
import torch

from augsal_transforms.workers import map_in_order


def tell(task):
    if task == "fail":
        raise ValueError("this task fails")
    return task, os.getpid(), torch.get_num_threads()


@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_the_order_of_the_tasks_each_made_on_one_thread(workers):
    state = torch.get_rng_state()
    found = list(map_in_order(tell, range(20), workers))
    assert [task for task, _, _ in found] == list(range(20))
    assert {threads for _, _, threads in found} == {1}
    assert (os.getpid() in {process for _, process, _ in found}) == (workers == 1)
    assert torch.equal(torch.get_rng_state(), state)
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_is_raised_as_it_is_after_the_results_before_it(workers):
    found = map_in_order(tell, [0, 1, "fail", 3], workers)
    assert [next(found)[0], next(found)[0]] == [0, 1]
    with pytest.raises(ValueError, match="this task fails") as raised:
        next(found)
    assert raised.traceback[-1].name == "tell"
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_the_tasks_comes_after_the_results_of_those_before(workers):
    error = RuntimeError("no more tasks")

    def tasks():
        yield from range(3)
        raise error

    found = map_in_order(tell, tasks(), workers)
    assert [next(found)[0] for _ in range(3)] == [0, 1, 2]
    with pytest.raises(RuntimeError) as raised:
        next(found)
    assert raised.value is error


def end(task):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_is_killed_ends_the_work_with_advice():
    with pytest.raises(OSError, match=r"ended from outside.*fewer --workers"):
        list(map_in_order(end, range(4), 2))
