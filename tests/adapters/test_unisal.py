import sys

import pytest
from helpers.upstream_runs import STAND_INS, fill, write_pictures

from augsal_transforms.adapters import _patching, unisal


@pytest.fixture
def trainer(tmp_path, monkeypatch):
    """The stand-in's trainer, which trains for one epoch whenever it is asked to."""
    monkeypatch.setattr(_patching, "_claimed", set())
    monkeypatch.setenv("SALICON_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("TRAIN_DIR", str(tmp_path / "runs"))
    monkeypatch.syspath_prepend(str(STAND_INS / "unisal"))
    fill(tmp_path / "edits", write_pictures(tmp_path / "data", (48, 64), images="images"))
    import unisal as upstream

    yield upstream.train.Trainer(num_epochs=1, data_sources=["SALICON"])
    for name in [name for name in sys.modules if name.partition(".")[0] == "unisal"]:
        del sys.modules[name]


def test_a_trainer_can_be_augmented_again_and_between_trains_as_it_did(trainer, tmp_path):
    trainer.fit()
    for _ in range(2):
        with unisal.augmented(trainer, tmp_path / "edits", p=1.0) as hook:
            trainer.fit()
        assert (hook.passes, hook.edited) == (2, 4)
        trainer.fit()
        assert (hook.passes, hook.edited) == (2, 4)
        assert not trainer.model._forward_hooks


def test_odds_is_the_other_conversion(trainer, tmp_path):
    losses = {}
    for conversion in ("peak", "odds"):
        with unisal.augmented(trainer, tmp_path / "edits", p=1.0, editing_weight=0, conversion=conversion) as hook:
            trainer.fit()
        losses[conversion] = hook.loss
    assert losses["peak"] != pytest.approx(losses["odds"], rel=0.01)
    with (
        pytest.raises(ValueError, match="`conversion` must be one of peak, odds"),
        unisal.augmented(trainer, tmp_path / "edits", conversion="log"),
    ):
        pass
