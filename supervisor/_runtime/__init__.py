"""DO: the machine's effects performed with anyio, and what the user holds in hand.

``runtime`` steps the machines and performs their effects, ``life`` is one run of a child, ``tree``
and ``handle`` are the user's grip on the tree and on a child, ``bus`` carries events to subscribers, ``context`` finds the running
child or tree, ``clock`` is the one door for time and chance, ``host`` opens a tree in a task group
and ``run`` owns a process.
"""
