"""DECIDE: the supervision machine. No event loop, clock, chance, I/O or logging on this floor.

``step(node, input, now)`` is the whole interface: it changes the node's state and returns the
effects to perform (``effects`` has both). ``child`` has the record of a child, ``node`` that of a
supervisor, ``order`` the mover and whose turn it is, ``move`` the moves of one child,
``resume`` what comes after a delay, ``verdict`` judges lives, ``group`` restarts groups, ``command``
serves operators, ``close`` ends the supervisor, ``backoff`` has the delays, ``circuit`` the crashes
that set a child aside, ``timers`` the deadlines, ``table`` makes records from declarations,
``view`` makes pictures of what is.
"""
