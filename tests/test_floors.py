"""The rules of the house's plan, read off the source: what imports what, and what is named how."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import supervisor

ROOT = Path(supervisor.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))

WORDS = {"_words", "_happenings", "_errors", "_views"}
MAY_IMPORT = {
    "_words": set(),
    "_errors": {"_words"},
    "_views": {"_words"},
    "_happenings": {"_words"},
    "_spec": {"_words", "_errors"},
    "_core": WORDS | {"_spec"},
    "_record": WORDS,
    "_runtime": WORDS | {"_spec", "_core", "_record"},
    "testing": WORDS | {"supervisor", "_runtime"},
    "_console": WORDS | {"supervisor", "_spec", "_record", "_runtime"},
    "__init__": WORDS | {"_spec", "_record", "_runtime"},
    "__main__": {"_console"},
}

IMPURE = {
    "anyio",
    "asyncio",
    "contextvars",
    "datetime",
    "logging",
    "os",
    "random",
    "signal",
    "sniffio",
    "socket",
    "subprocess",
    "sys",
    "threading",
    "time",
    "trio",
    "uvloop",
}
ASYNC = (ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.Await)

SUPERVISORD = {
    "childutils",
    "compat",
    "confecho",
    "datatypes",
    "dispatchers",
    "events",
    "http",
    "http_client",
    "loggers",
    "medusa",
    "options",
    "pidproxy",
    "poller",
    "process",
    "rpcinterface",
    "socket_manager",
    "states",
    "supervisorctl",
    "supervisord",
    "templating",
    "tests",
    "ui",
    "web",
    "xmlrpc",
    "scripts",
    "skel",
}


def name_of(module: Path) -> str:
    return ".".join(module.relative_to(ROOT).with_suffix("").parts)


def floor_of(dotted: str) -> str:
    """The floor of ``supervisor.x.y``; that of the package itself is ``supervisor``."""
    parts = dotted.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def parse(module: Path) -> ast.Module:
    return ast.parse(module.read_text(encoding="utf-8"), str(module))


def imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            if node.module == "supervisor":
                yield from (f"supervisor.{alias.name}" for alias in node.names)
            else:
                yield str(node.module)


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_imports_run_downwards(module: Path) -> None:
    floor = name_of(module).split(".")[0]
    for dotted in imports(parse(module)):
        if dotted.split(".")[0] != "supervisor":
            continue
        wanted = floor_of(dotted)
        if (ROOT / wanted).exists() or (ROOT / f"{wanted}.py").exists():
            allowed = wanted == floor or wanted in MAY_IMPORT[floor]
        else:
            allowed = "supervisor" in MAY_IMPORT[floor]
        assert allowed, f"{name_of(module)} imports {dotted}"


@pytest.mark.parametrize("module", sorted((ROOT / "_core").glob("*.py")), ids=name_of)
def test_deciding_is_pure(module: Path) -> None:
    tree = parse(module)
    assert not IMPURE.intersection(dotted.split(".")[0] for dotted in imports(tree))
    assert not [node.lineno for node in ast.walk(tree) if isinstance(node, ASYNC)]


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_no_module_is_named_like_one_of_supervisord(module: Path) -> None:
    assert not SUPERVISORD.intersection(name_of(module).split("."))


def exports(module: Path) -> Iterator[str]:
    """The public names that a module defines, or imports in order to export them."""
    for node in parse(module).body:
        if isinstance(node, ast.ImportFrom):
            yield from (alias.asname for alias in node.names if alias.asname == alias.name)
        elif isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (target.id for target in targets if isinstance(target, ast.Name))


def is_public(module: Path) -> bool:
    names = [name for name in name_of(module).split(".") if name != "__init__"]
    return not any(name.startswith("_") for name in names)


def test_each_public_name_is_exported_once() -> None:
    public = [module for module in MODULES if is_public(module)]
    assert {name_of(module) for module in public} >= {"__init__", "testing.__init__"}
    counts = Counter(
        name for module in public for name in exports(module) if not name.startswith("_")
    )
    assert [name for name, count in counts.items() if count > 1] == []


def test_the_package_exports_what_it_says() -> None:
    names = [name for name in exports(ROOT / "__init__.py") if not name.startswith("_")]
    assert names, "nothing is public"
    assert len(names) == len(set(names))
    assert [name for name in names if not hasattr(supervisor, name)] == []


def test_importing_the_package_imports_no_event_loop_and_nothing_for_files_only() -> None:
    """A program that runs on trio needs no asyncio, and one without a tree file nothing to read it."""
    heavy = ("asyncio", "trio", "uvloop", "rich", "json", "tomllib", "pathlib", "difflib", "psutil")
    code = "import anyio, msgspec, sys; before = {*sys.modules}; import supervisor;"
    code += f"print(*({set(heavy)!r} & ({{*sys.modules}} - before)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_rules_can_fail(tmp_path: Path) -> None:
    # A check counts only if it fails on a planted fault.
    planted = tmp_path / "planted.py"
    planted.write_text("import anyio.abc\nfrom x import y as y\nasync def f(): pass\n")
    tree = parse(planted)
    assert [*imports(tree)] == ["anyio.abc", "x"]
    assert [node for node in ast.walk(tree) if isinstance(node, ASYNC)]
    assert [*exports(planted)] == ["y", "f"]
    assert "_runtime" not in MAY_IMPORT["_core"]
    assert floor_of("supervisor._runtime.host") == "_runtime"
