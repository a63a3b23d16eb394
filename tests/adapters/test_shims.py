import multiprocessing
import sys

import numpy as np
import torch

from augsal_transforms.adapters._shims import forked_workers, stand_ins, with_trapz, without_cuda


def test_a_missing_module_is_stood_in_for_and_told_of_once(capsys):
    with stand_ins(absent_module="never used", json="installed"):
        from absent_module import summary

        assert summary("anything", at=1) is None
    assert "absent_module" not in sys.modules
    assert capsys.readouterr().out == (
        "augsal: shim: absent_module is not installed and stood in for by an empty module: never used\n"
    )


def test_without_a_device_cuda_calls_stay_on_the_cpu(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    before = torch.Tensor.cuda, torch.load
    with without_cuda():
        assert torch.zeros(1).cuda().device.type == "cpu"
        torch.save({"a": torch.ones(1)}, tmp_path / "weights")
        assert torch.load(tmp_path / "weights") == {"a": torch.ones(1)}
    assert (torch.Tensor.cuda, torch.load) == before
    assert capsys.readouterr().out.count("\n") == 1


def test_with_a_device_nothing_is_shimmed(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    before = torch.Tensor.cuda, torch.load
    with without_cuda():
        assert (torch.Tensor.cuda, torch.load) == before
    assert not capsys.readouterr().out


def test_trapz_is_there_while_it_is_needed():
    there = hasattr(np, "trapz")
    with with_trapz():
        assert np.trapz([0, 1, 1]) == 1.5  # noqa: NPY201
    assert hasattr(np, "trapz") == there


def test_workers_of_a_script_are_forked_whatever_the_default_is(capsys):
    before = multiprocessing.get_start_method()
    multiprocessing.set_start_method("spawn", force=True)
    try:
        with forked_workers():
            assert multiprocessing.get_start_method() == "fork"
            with forked_workers():  # not needed, not told
                pass
        assert multiprocessing.get_start_method() == "spawn"
    finally:
        multiprocessing.set_start_method(before, force=True)
    assert capsys.readouterr().out.count("workers are forked, not started by spawn") == 1
