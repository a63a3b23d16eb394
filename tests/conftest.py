import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch: for all threads, and for the processes that tests start

from pathlib import Path

import pytest
import torch
from helpers.browsers import missing_browser
from helpers.tiny import save_tiny_pipeline

from augsal_transforms.editor.editor import SaliencyEditor
from augsal_transforms.editor.edits import KINDS

torch.set_num_threads(1)  # tiny networks: more threads only wait for each other


def pytest_collection_modifyitems(items):
    reasons = {
        "slow": None if os.environ.get("AUGSAL_SLOW") else "slow: set AUGSAL_SLOW=1 to run",
        "browser": missing_browser(),
        "gpu": None if torch.cuda.is_available() else "gpu: no CUDA device",
    }
    for item in items:
        for mark, reason in reasons.items():
            if reason and item.get_closest_marker(mark):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def own_kinds():
    """Each test may define kinds of edit; none is left to the next one."""
    known = dict(KINDS)
    yield
    KINDS.clear()
    KINDS.update(known)


@pytest.fixture(scope="session")
def sd1_folder(tmp_path_factory) -> Path:
    """A pipeline in the style of SD 1.x: noise prediction, the same number of heads everywhere."""
    return save_tiny_pipeline(tmp_path_factory.mktemp("sd1"))


@pytest.fixture(scope="session")
def sd2_folder(tmp_path_factory) -> Path:
    """A pipeline in the style of SD 2.x: v-prediction, head list, linear projection."""
    return save_tiny_pipeline(
        tmp_path_factory.mktemp("sd2"),
        prediction_type="v_prediction",
        attention_head_dim=[2, 4, 4],
        use_linear_projection=True,
    )


@pytest.fixture(scope="session")
def editor(sd1_folder) -> SaliencyEditor:
    made = SaliencyEditor.from_pretrained(str(sd1_folder))
    made.model.empty_prompt  # noqa: B018 - encoded here, and not in a test that counts operations with other kernels
    return made


@pytest.fixture(scope="session")
def bundled() -> SaliencyEditor:
    return SaliencyEditor.from_pretrained("bundled")


@pytest.fixture(scope="session")
def predictor(editor):
    from augsal_transforms import SaliencyPredictor
    from augsal_transforms.readouts.readouts import ReadoutConfig, Readouts

    with torch.random.fork_rng():
        torch.manual_seed(0)
        readouts = Readouts(ReadoutConfig.for_model(editor.model, ["dog"], width=8)).eval().requires_grad_(False)
    return SaliencyPredictor(editor.model, readouts, editor.name)
