"""The laws that are checked, one line for each check. A test plants a fault for every one of them."""

from __future__ import annotations

from typing import Final, NoReturn

CHECKS: Final[dict[str, tuple[int, str]]] = {
    "finish": (1, "a supervisor finishes once, and when no life is left"),
    "one life": (2, "a life begins when the last one of that child has ended"),
    "next life": (2, "lives are numbered one by one"),
    "no life": (2, "only what has a life is asked to end"),
    "forgotten runs": (2, "what was forgotten does not run"),
    "accounts": (2, "the machine takes for alive what is alive"),
    "ready": (2, "the machine takes for ready what began or reported so, and was not asked to end"),
    "start in stop": (3, "nothing starts after the stop began"),
    "needs": (3, "a child starts when all that it needs is ready"),
    "overlap": (3, "a child does not start under a dependent that is still to go down"),
    "beside": (3, "a child and its fallback never run together"),
    "start order": (3, "in a boot or group restart a child starts after its elders"),
    "stop order": (3, "a supervisor stops its listed children youngest first"),
    "stop under": (3, "a child is stopped when those that depend on it are down"),
    "lives on": (3, "a child goes down with what it needs"),
    "stop told": (3, "the stop is told when it begins, and once"),
    "order stands": (3, "while nothing moves, nobody waits in the start order"),
    "over": (4, "what has finished or was stopped by an operator does not run by itself"),
    "verdict": (4, "restart types, strategies and intensity decide as the table says"),
    "no verdict": (4, "nothing is decided where no life ended"),
    "unasked": (4, "a life ends because of a hold, a lost need or the stop, not for nothing"),
    "held": (4, "a child that is held does not live on"),
    "group down": (4, "all members go down in a group restart"),
    "group stands": (4, "a group restart ends, or waits for something"),
    "counted": (4, "the machine counts the crashes within the window, and the restarts"),
    "backoff": (5, "a child is not restarted before its delay is over"),
    "group delay": (5, "a group is not started before its delay is over"),
    "permit": (5, "where a budget is named for restarts, each automatic one has taken a permit"),
    "asked for": (5, "who waits for a permit has asked for one, and nobody else has"),
    "could run": (5, "what could run does"),
    "registered": (5, "a child that waits is registered at what it waits for"),
    "told once": (7, "every crash is told exactly once, with its whole exception"),
    "foreign": (8, "a cancellation that nobody had asked for is a crash, one that was is none"),
    "asked once": (9, "a life is asked to end once"),
    "stuck": (9, "what is told to be stuck was asked to end, and is told once"),
    "only stuck": (9, "only stuck ones are left when that is said"),
    "stop stands": (9, "a stop waits for a life that was asked to end"),
    "nobody asks": (9, "a child that is to end is asked, or waits for one that was"),
    "deadline": (9, "every deadline is awaited"),
    "goes back": (11, "a permit that nobody waits for any more goes back, and moves nothing"),
    "spin": (13, "a deadline that has come does not come again"),
    "idle": (13, "where all are ready no deadline is awaited"),
    "kept": (15, "what is forgotten is in no table"),
    "sums": (15, "what is counted as one goes is what is there"),
    "bounded": (15, "logs and timers keep their bounds"),
    "reasons": (15, "the condition's reasons are those of the children that are there"),
    "process": (16, "what concerns the process ends the tree"),
    "refusal": (17, "a command that is refused changes nothing"),
    "fails": (17, "the machine takes every input"),
}
"""By name: the number of the law in docs/guarantees.md (17: of no law there) and what it says."""


class Violation(AssertionError):
    """A law was broken: by the name of its check."""

    def __init__(self, check: str, what: str) -> None:
        self.check = check
        law, sentence = CHECKS[check]
        super().__init__(f"law {law}, {check!r} ({sentence}): {what}")


def broken(check: str, *what: object) -> NoReturn:
    raise Violation(check, " ".join(map(str, what)))
