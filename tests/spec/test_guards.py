"""Guards whose declaration says something else than it seems to."""

from __future__ import annotations

import pytest

from supervisor import Guard, TreeInvalid


def test_a_chain_without_a_link_is_refused_as_it_serves_nothing() -> None:
    with pytest.raises(TreeInvalid) as caught:
        Guard("exchange", fallback=())

    [problem] = caught.value.problems
    assert problem.path == "guard 'exchange': fallback"
    assert "((),)" in problem.write
    assert Guard("exchange", fallback=((),))
    assert Guard("exchange", fallback=[])
