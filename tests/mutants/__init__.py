"""One-line faults planted in the package, each killed by a test: ``python -m tests.mutants``.

``fault`` is what a mutant is and how it is put into a source, ``core_table``, ``runtime_table``,
``permits_table`` and ``letters_table`` list them, ``hook`` lets an interpreter import the mutated
module instead of the real one, ``plugin`` tells what became of a test, and ``runner`` starts a fresh
interpreter for each mutant. No file of the checkout is written.
"""
