"""Figures for what supervision costs, each beside a floor: ``python -m tests.benchmarks``.

``idle``, ``restarts``, ``crowd`` and ``imports`` hold the cases, ``stopwatch`` is what they measure with,
``rows`` says which two make a row and what its bar is, ``child`` is the process that runs one case
once, ``runner`` starts those in turn, and ``table`` tells what came out. ``peers`` has the cases for
other libraries. ``where`` tells where the time of a row goes, by what ``observed`` sees in the process
that runs it.
"""
