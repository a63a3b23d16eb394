import pytest

from augsal_transforms.adapters import _patching
from augsal_transforms.adapters._patching import replaced, upstream_module


class Owner:
    value = 1


class Heir(Owner):
    pass


def test_what_is_replaced_is_given_back_and_what_was_inherited_stays_inherited():
    with pytest.raises(ZeroDivisionError), replaced(Owner, "value", 2), replaced(Heir, "value", 3):
        assert (Owner.value, Heir.value) == (2, 3)
        raise ZeroDivisionError
    assert Owner.value == Heir.value == 1
    assert "value" not in vars(Heir)


def test_a_second_upstream_in_one_process_is_refused(monkeypatch):
    monkeypatch.setattr(_patching, "_claimed", set())
    _patching.claim("tempsal")
    _patching.claim("tempsal")
    with pytest.raises(RuntimeError, match="One upstream a process: simplenet and tempsal"):
        _patching.claim("simplenet")


def test_a_module_that_is_not_here_says_from_where_to_start():
    with pytest.raises(ModuleNotFoundError, match=r"Start in the checkout's folder SimpleNet/"):
        upstream_module("absent_module", "SimpleNet/")
