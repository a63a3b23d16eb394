"""One editor for many threads: every call gives what it gives alone, to the bit."""

import multiprocessing
import os
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from helpers.pictures import EDITS, blob, picture
from torch.utils.data import DataLoader, Dataset

from augsal_transforms import SaliencyDiffusionAugment, SaliencyPredictor
from augsal_transforms.editor.calibrate import measure_gain
from augsal_transforms.readouts.readouts import ReadoutConfig, Readouts

THREADS = 8
PROMPTS = ("a red dog on the street", "", "a cat on the bus", "a skateboard, blue and green")


@pytest.fixture(scope="module")
def calls(editor):
    """Calls of every public kind on one model, each with its result as tensors."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        readouts = Readouts(ReadoutConfig.for_model(editor.model, ["dog"], width=8)).eval().requires_grad_(False)
    gated = replace(editor, gate=readouts)
    predictor = SaliencyPredictor(editor.model, readouts, editor.name)
    images, maps = [picture(seed=n) for n in range(4)], [blob(x=0.2 + 0.2 * n) for n in range(4)]
    analyses = editor.analyse(images[:2], maps[:2], list(PROMPTS[:2]))

    def pixels(results):
        return [part for result in results for part in (result.image, result.edit_mask, result.region)]

    def edit(which, n):
        return lambda: pixels(which.edit([images[n]], [maps[n]], [PROMPTS[n]], [EDITS[n % 3]], seed=n))

    def analyse(n):
        found = lambda: editor.analyse([images[n]], [maps[n]], [PROMPTS[n]])  # noqa: E731
        return lambda: [part for a in found() for part in (a.latent, a.region, a.edit_mask, a.decoded)]

    return [
        *(edit(which, n) for which in (editor, gated) for n in range(4)),
        *(analyse(n) for n in range(4)),
        *(lambda n=n: predictor.predict([images[n]]) for n in range(4)),
        lambda: pixels(editor.apply(analyses, [EDITS, EDITS[:1]])),
    ]


def compare(calls, count):
    """How many of ``count`` calls of each thread differ from one thread's."""
    expected = [call() for call in calls]

    def work(thread):
        order = random.Random(thread)
        different = 0
        for _ in range(count):
            n = order.randrange(len(calls))
            got = calls[n]()
            same = len(got) == len(expected[n]) and all(map(torch.equal, got, expected[n]))
            different += not same
        return different

    with ThreadPoolExecutor(THREADS) as pool:
        return sum(pool.map(work, range(THREADS)))


def test_threads_that_share_an_editor_get_what_one_thread_gets(calls):
    assert compare(calls, 3) == 0


@pytest.mark.slow
def test_two_hundred_mixed_calls_of_eight_threads_are_those_of_one(calls):
    assert compare(calls, 200) == 0


def test_measuring_a_model_beside_edits_changes_neither(editor, calls):
    images = [picture(seed=n) for n in range(2)]
    alone, expected = measure_gain(editor, images), calls[0]()
    with ThreadPoolExecutor(2) as pool:
        measured = pool.submit(measure_gain, editor, images)
        edits = [pool.submit(calls[0]) for _ in range(8)]
        assert all(all(map(torch.equal, future.result(), expected)) for future in edits)
    assert torch.equal(measured.result(), alone)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_process_that_is_forked_while_a_thread_edits_can_edit(calls):
    """A data loader's worker: the thread is not there to give the lock back, and the networks must be as found."""
    expected, stop = calls[0](), threading.Event()

    def edit_on():
        while not stop.is_set():
            calls[0]()

    def edit_in_child(answer):
        answer.put(all(map(torch.equal, calls[0](), expected)))

    thread = threading.Thread(target=edit_on)
    thread.start()
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    children = [context.Process(target=edit_in_child, args=(answers,)) for _ in range(4)]
    try:
        for child in children:
            child.start()
            child.join(60)
            assert child.exitcode == 0
            assert answers.get()
    finally:
        stop.set()
        thread.join()
        for child in children:
            if child.pid:  # it was started
                child.kill()


class EditedAlone(Dataset):
    """One edited picture, with the number of threads that its VAE ran on."""

    def __init__(self, editor):
        self.augment = SaliencyDiffusionAugment(editor=editor, p=1.0, seed=0)
        self.vae = editor.model.vae

    def __len__(self):
        return 1

    def __getitem__(self, index):
        seen = []
        hook = self.vae.decoder.register_forward_pre_hook(lambda *_: seen.append(torch.get_num_threads()))
        try:
            self.augment({"image": picture(dtype=torch.uint8), "saliency_map": blob(), "prompt": "a red dog"})
        finally:
            hook.remove()
        return seen


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="workers are not forked here")
def test_a_worker_of_a_data_loader_edits_on_one_thread(editor):
    data, before = EditedAlone(editor), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert data[0] == [2, 2]  # D(Z) and D(Z_out)
        (seen,) = DataLoader(data, batch_size=None, num_workers=1, multiprocessing_context="fork")
    finally:
        torch.set_num_threads(before)
    assert seen == [1, 1]
