"""Supervision trees for asyncio and trio, on anyio's structured concurrency.

``_spec`` declares a tree as frozen values, ``_core`` decides (a pure state machine), ``_runtime``
does what was decided with anyio, ``_record`` tells, ``_console`` shows, ``testing`` proves. Imports
run downwards only. This module holds every public name.
"""

from supervisor._errors import AlreadyPresent as AlreadyPresent
from supervisor._errors import AlreadyRunning as AlreadyRunning
from supervisor._errors import Closing as Closing
from supervisor._errors import Decline as Decline
from supervisor._errors import ForeignCancellation as ForeignCancellation
from supervisor._errors import HeartbeatMissed as HeartbeatMissed
from supervisor._errors import NotFound as NotFound
from supervisor._errors import NoTree as NoTree
from supervisor._errors import Problem as Problem
from supervisor._errors import Refused as Refused
from supervisor._errors import Restarting as Restarting
from supervisor._errors import StartTimedOut as StartTimedOut
from supervisor._errors import Stuck as Stuck
from supervisor._errors import TooManyChildren as TooManyChildren
from supervisor._errors import TreeFailed as TreeFailed
from supervisor._errors import TreeInvalid as TreeInvalid
from supervisor._errors import UnexpectedReturn as UnexpectedReturn
from supervisor._happenings import Added as Added
from supervisor._happenings import Booted as Booted
from supervisor._happenings import ConditionChanged as ConditionChanged
from supervisor._happenings import Crashed as Crashed
from supervisor._happenings import Declined as Declined
from supervisor._happenings import Deleted as Deleted
from supervisor._happenings import Dropped as Dropped
from supervisor._happenings import Ended as Ended
from supervisor._happenings import Escalated as Escalated
from supervisor._happenings import Event as Event
from supervisor._happenings import GroupRestarted as GroupRestarted
from supervisor._happenings import Held as Held
from supervisor._happenings import Quarantined as Quarantined
from supervisor._happenings import Ready as Ready
from supervisor._happenings import Recovered as Recovered
from supervisor._happenings import Released as Released
from supervisor._happenings import Returned as Returned
from supervisor._happenings import Started as Started
from supervisor._happenings import StopAsked as StopAsked
from supervisor._happenings import StopBegun as StopBegun
from supervisor._happenings import Stopped as Stopped
from supervisor._happenings import StopTimedOut as StopTimedOut
from supervisor._happenings import Verdict as Verdict
from supervisor._runtime.bus import Subscription as Subscription
from supervisor._runtime.context import current_child as current_child
from supervisor._runtime.context import current_tree as current_tree
from supervisor._runtime.every import every as every
from supervisor._runtime.handle import Child as Child
from supervisor._runtime.handle import ChildOptions as ChildOptions
from supervisor._runtime.handle import Tree as Tree
from supervisor._runtime.host import TreeOptions as TreeOptions
from supervisor._runtime.host import open_supervisor as open_supervisor
from supervisor._runtime.host import serve as serve
from supervisor._runtime.life import CurrentChild as CurrentChild
from supervisor._runtime.run import run as run
from supervisor._spec.load import load as load
from supervisor._spec.policy import Backoff as Backoff
from supervisor._spec.policy import Intensity as Intensity
from supervisor._spec.policy import Quarantine as Quarantine
from supervisor._spec.policy import Stop as Stop
from supervisor._spec.tree import Component as Component
from supervisor._spec.tree import Resource as Resource
from supervisor._spec.tree import Spec as Spec
from supervisor._spec.tree import Supervisor as Supervisor
from supervisor._spec.validate import check as check
from supervisor._views import ChildView as ChildView
from supervisor._views import Explanation as Explanation
from supervisor._views import TreeView as TreeView
from supervisor._words import Condition as Condition
from supervisor._words import Hold as Hold
from supervisor._words import Outcome as Outcome
from supervisor._words import Reason as Reason
