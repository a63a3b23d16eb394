import math
from dataclasses import replace

import pytest

from augsal_transforms import EditConfig


def test_the_papers_schedule_is_the_released_one():
    assert (EditConfig.paper().steps, EditConfig.paper().noise_level) == (6, 0.83)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"steps": True}, "`steps` must be a whole number of 1 or more, got True"),
        ({"steps": 2.0}, "`steps` must be a whole number of 1 or more, got 2.0"),
        ({"batch_size": "8"}, "`batch_size` must be a whole number"),
        ({"resolution": 256.0}, "`resolution` must be a whole number of 1 or more, or `None` for the model's own"),
        ({"noise_level": "0.2"}, "`noise_level` must be a number, got '0.2'"),
        ({"guidance": None}, "`guidance` must be a number, got None"),
        ({"max_std": False}, "`max_std` must be a number, got False"),
        ({"threshold": [0.2]}, "`threshold` must be a number"),
        ({"keep_stopwords": "no"}, "`keep_stopwords` must be True or False, got 'no'"),
    ],
)
def test_values_of_another_type_are_refused(options, words):
    with pytest.raises(TypeError, match=words):
        EditConfig(**options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"steps": 0}, "`steps` must be a whole number of 1 or more, got 0"),
        ({"resolution": -64}, "`resolution`"),
        ({"noise_level": 1.0}, r"`noise_level` must lie in \(0, 1\), got 1.0"),
        ({"softness": 1.5}, r"`softness` must lie in \[0, 1\], got 1.5"),
        ({"injection": math.nan}, "`injection`"),
        ({"guidance": math.inf}, "`guidance` must be finite"),
        ({"max_std": -1}, "`max_std` must be 0 or more"),
        ({"max_std": math.nan}, "`max_std` must be 0 or more"),
        ({"pivot": ["gamma"]}, "`pivot` must be 'gamma' or 'mean'"),
        ({"pivot": "median"}, "`pivot` must be 'gamma' or 'mean', got 'median'"),
    ],
)
def test_values_out_of_range_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        replace(EditConfig(), **options)


def test_whole_numbers_may_stand_for_floats():
    assert EditConfig(guidance=1, max_std=2) == EditConfig()
