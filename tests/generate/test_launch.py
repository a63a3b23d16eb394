import pytest

from augsal_transforms.generate.launch import from_offset, own_device, rank_and_world


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, (0, 1)),
        ({"RANK": "3", "WORLD_SIZE": "8"}, (3, 8)),
        ({"SLURM_PROCID": "2", "SLURM_NTASKS": "4"}, (2, 4)),
        ({"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_COUNT": "5"}, (2, 5)),
        # An array of 3 jobs of 4 tasks each: the third task of the second job is number 1 · 4 + 2.
        (
            {"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_COUNT": "3", "SLURM_PROCID": "2", "SLURM_NTASKS": "4"},
            (6, 12),
        ),
        ({"RANK": "1", "WORLD_SIZE": "2", "SLURM_PROCID": "0", "SLURM_NTASKS": "1"}, (1, 2)),
    ],
)
def test_a_process_learns_its_number_from_its_launcher(environment, expected):
    assert rank_and_world(environment) == expected


def test_what_is_said_counts_more_than_what_a_launcher_says():
    assert rank_and_world({"RANK": "3", "WORLD_SIZE": "8"}, "1/2") == (1, 2)


@pytest.mark.parametrize("shard", ["2/2", "1", "a/b", "1/0", "-1/2"])
def test_a_shard_that_is_none_is_refused(shard):
    with pytest.raises(ValueError, match="--shard must be i/n"):
        rank_and_world({}, shard)


def test_each_process_begins_with_its_share_and_walks_all():
    names = list("abcdefg")
    assert from_offset(names, 0, 3) == names
    assert from_offset(names, 1, 3) == list("cdefgab")
    assert from_offset(names, 2, 3) == list("efgabcd")
    assert from_offset([], 1, 3) == []


def test_a_device_that_is_named_is_taken():
    assert own_device({"LOCAL_RANK": "3"}, "cuda:1") == "cuda:1"
    assert own_device({}, "cpu") == "cpu"


@pytest.mark.parametrize(
    "environment",
    [{"WORLD_SIZE": "0"}, {"WORLD_SIZE": "2", "RANK": "one"}, {"SLURM_NTASKS": "-3"}, {"SLURM_ARRAY_TASK_COUNT": "0"}],
)
def test_a_launchers_variable_that_is_no_number_is_named(environment):
    with pytest.raises(ValueError, match=r"The environment variable \w+ must be a whole number .*--shard"):
        rank_and_world(environment)
