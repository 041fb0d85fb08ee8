"""Parts of a declaration that are decided when the machine first looks at them.

A walk through a tree whose child has an open restart type is a walk through three trees at once: they
behave alike until somebody compares that restart type with something. Then the walk goes back to
before that input, and once on for each answer. So what two trees have in common is walked once.
"""

from __future__ import annotations

from typing import Any

from msgspec import structs

Answers = list[tuple[Any, ...]]
"""What each question may still be answered with; a question with one answer left is decided."""


class Undecided(BaseException):
    """An open question was asked: ``parts`` are the answers that remain, told apart."""

    def __init__(self, question: int, parts: tuple[tuple[Any, ...], ...]) -> None:
        self.question = question
        self.parts = parts


class Word:
    """A word that is one of several, told apart no further than it is compared."""

    __slots__ = ("answers", "question")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, answers: Answers, question: int) -> None:
        self.answers = answers
        self.question = question

    def __eq__(self, other: object) -> bool:
        left = self.answers[self.question]
        if len(left) == 1:
            return bool(left[0] == other)
        if other not in left:
            return False
        rest = tuple(word for word in left if word != other)
        raise Undecided(self.question, ((other,), rest))

    def __repr__(self) -> str:
        return "|".join(map(str, self.answers[self.question]))


class OpenSpec:
    """Stands for a declaration of which some fields are open: ``restart`` as a :class:`Word`, the
    others are decided when they are read."""

    def __init__(self, spec: Any, answers: Answers, questions: dict[str, int]) -> None:
        given = structs.asdict(spec)
        if "restart" in questions:
            given["restart"] = Word(answers, questions["restart"])
        self._fields = {name: question for name, question in questions.items() if name != "restart"}
        for name in self._fields:
            del given[name]
        self.__dict__.update(given)
        self._spec = spec
        self._answers = answers

    @property
    def __class__(self) -> type:  # isinstance() is to take it for what it stands for
        return type(self._spec)

    def __getattr__(self, name: str) -> Any:
        question = self.__dict__["_fields"].get(name)
        if question is None:
            raise AttributeError(name)
        left = self._answers[question]
        if len(left) > 1:
            raise Undecided(question, tuple((answer,) for answer in left))
        return left[0]
