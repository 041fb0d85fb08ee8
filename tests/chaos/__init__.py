"""The trading example under random faults, in real time: see docs/chaos.md.

``process`` runs one tree in a process of its own: ``service`` declares it, ``storm`` decides what
goes wrong and when, ``faults`` makes it go wrong, ``witness`` stands between the supervisor and the
components and writes down what they did, ``ear`` what the supervisor told, ``calm`` what is there
when nothing goes wrong. ``record`` has what they write. ``judge`` compares, ``steady`` looks for
leaks, and ``__main__`` runs it all and tells.
"""
