"""What the machine hands out keeps nobody from being collected."""

from __future__ import annotations

import gc
import weakref
from typing import Any, get_args

import pytest

from supervisor._core import effects
from supervisor._core.effects import Effect
from tests.core.drive import Drive, child

OF_A_CHILD = [kind for kind in get_args(Effect) if "child" in getattr(kind, "__annotations__", ())]


class Boom(Exception):
    """Can be referred to weakly."""


def performed(effect: object) -> None:
    raise Boom(type(effect).__name__)


@pytest.mark.parametrize("kind", OF_A_CHILD, ids=lambda kind: kind.__name__)
def test_an_error_with_the_frame_in_which_an_effect_was_performed_is_collected(kind: Any) -> None:
    drive = Drive(child("a"))
    others = [0] * (len(kind.__struct_fields__) - 1)
    try:
        performed(kind(drive["a"], *others))
    except Boom as error:
        drive["a"].error = error  # whose traceback leads to the child again
        seen = weakref.ref(error)

    del drive
    gc.collect()

    assert seen() is None


def test_there_are_effects_of_a_child() -> None:
    assert effects.Cancel in OF_A_CHILD
    assert effects.Moved in OF_A_CHILD
