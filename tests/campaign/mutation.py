"""Mutation testing: does a test fail when one small thing of a module is changed?

Each mutant runs in a fork of this process, which has the heavy libraries loaded already, against
the tests of its module. A mutant is killed when a test fails or runs too long. Text of messages,
annotations and decorators are left alone. Results go to a file as they come; a second run with the
same file goes on where the first stopped, and tests mutants anew whose module has changed.
"""

import argparse
import hashlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from types import ModuleType

from tests.campaign.mutants import Mutant, mutants

ROOT = Path(__file__).parents[2]
# Module -> the tests that must notice.
TESTS = {
    "drcnet_cli.restore.tiling": ["restore/test_tiling.py"],
    "drcnet_cli.metrics": ["test_metrics.py"],
    "drcnet_cli.files.plan": ["files/test_plan.py"],
    "drcnet_cli.weights.manifest": [
        "weights/test_manifest.py",
        "weights/test_hostile_manifests.py",
    ],
}
_HEAVY = ["torch", "numpy", "cv2", "PIL.Image", "pytest", "hypothesis", "safetensors.torch",
          "jsonschema", "typer.testing", "rich.console",
          "drcnet_cli.networks.checkpoint"]  # fmt: skip


class _Loader(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Puts a mutant's source in the place of the module's."""

    def __init__(self, name: str, path: Path, source: str) -> None:
        self._name, self._path, self._source = name, path, source

    def find_spec(self, name, path=None, target=None):  # noqa: ARG002 - the import system's names
        if name != self._name:
            return None
        spec = importlib.machinery.ModuleSpec(name, self, origin=str(self._path))
        spec.has_location = True
        return spec

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self._source, str(self._path), "exec"), module.__dict__)


def verdict(name: str, path: Path, mutant: Mutant, tests: list[str], limit: float) -> str:
    """Return `survived`, `killed` or `timeout`: most need few of hypothesis's examples to die."""
    quick = run(name, path, mutant, tests, limit, examples=15)
    return run(name, path, mutant, tests, limit) if quick == "survived" else quick


def run(
    name: str, path: Path, mutant: Mutant, tests: list[str], limit: float, examples: int = 10**6
) -> str:
    """Run the tests once, property tests with at most so many examples."""
    child = os.fork()
    if child == 0:
        os.setpgrp()
        silence = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(silence, descriptor)
        sys.meta_path.insert(0, _Loader(name, path, mutant.source))
        _limit_examples(examples)
        os._exit(_pytest(tests))
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return "survived" if os.waitstatus_to_exitcode(status) == 0 else "killed"
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "timeout"


def _limit_examples(most: int) -> None:
    from hypothesis import settings

    plain = settings.__init__

    def fewer(self: settings, *values: object, **named: object) -> None:
        if isinstance(named.get("max_examples"), int):
            named["max_examples"] = min(named["max_examples"], most)
        plain(self, *values, **named)

    settings.__init__ = fewer


def _pytest(tests: list[str]) -> int:
    import pytest

    options = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", f"--rootdir={ROOT}"]
    options += ["-k", "not quick"]  # a busy machine is no mutant
    try:
        return int(pytest.main([*options, *(str(ROOT / "tests" / test) for test in tests)]))
    except BaseException:  # noqa: BLE001 - whatever a mutant does, it was noticed
        return 1


def campaign(name: str, arguments: argparse.Namespace, results: Path) -> tuple[int, int, list[str]]:
    """Run a module's mutants; give how many were tried, how many killed, and the survivors."""
    path = ROOT / (name.replace(".", "/") + ".py")
    source = path.read_text(encoding="utf-8")
    tests = [test for test in TESTS[name] if (ROOT / "tests" / test).is_file()]
    chosen = mutants(source)
    if arguments.count and len(chosen) > arguments.count:
        chosen = random.Random(arguments.seed).sample(chosen, arguments.count)
    if arguments.only is not None:
        chosen = [mutant for mutant in mutants(source) if mutant.number in arguments.only]
    start = time.monotonic()
    if run(name, path, Mutant(-1, 0, "", source), tests, 600) != "survived":
        raise SystemExit(f"{name}: its tests fail without any change")
    limit = max(60.0, 6 * (time.monotonic() - start))
    killed, survivors, known = 0, [], _known(results)
    for mutant in sorted(chosen, key=lambda item: item.number):
        key = hashlib.sha256((name + mutant.source + ",".join(tests)).encode()).hexdigest()[:20]
        if known.get(key, "survived") == "survived" and not (arguments.cached and key in known):
            known[key] = verdict(name, path, mutant, tests, limit)
            line = {"key": key, "result": known[key], "module": name, "number": mutant.number,
                    "line": mutant.line, "what": mutant.what}  # fmt: skip
            with results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        killed += known[key] != "survived"
        if known[key] == "survived":
            survivors.append(f"{name} #{mutant.number} line {mutant.line}: {mutant.what}")
            sys.stderr.write(survivors[-1] + "\n")
    return len(chosen), killed, survivors


def _known(results: Path) -> dict[str, str]:
    if not results.is_file():
        return {}
    lines = map(json.loads, results.read_text(encoding="utf-8").splitlines())
    return {line["key"]: line["result"] for line in lines}


def main() -> int:
    """Run the campaign; 0 when at least `--target` per cent of every module's mutants die."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", default=list(TESTS), metavar="MODULE")
    parser.add_argument("--count", type=int, default=0, help="mutants a module, 0 for all")
    parser.add_argument("--seed", type=int, default=0, help="of the sample that --count takes")
    parser.add_argument("--only", type=int, nargs="*", help="replay these numbers alone")
    parser.add_argument("--target", type=float, default=0.0, help="per cent that must be killed")
    parser.add_argument("--cached", action="store_true", help="do not try known survivors again")
    parser.add_argument("--results", type=Path, default=Path("out/mutation.jsonl"))
    arguments = parser.parse_args()
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    for heavy in _HEAVY:
        importlib.import_module(heavy)
    missed = False
    rows = ["module                        mutants  killed   score"]
    for name in arguments.modules:
        tried, killed, _ = campaign(name, arguments, arguments.results)
        score = 100 * killed / max(tried, 1)
        missed = missed or score < arguments.target
        rows.append(f"{name:30}{tried:7}{killed:8}{score:7.1f}%")
    sys.stdout.write("\n".join(rows) + "\n")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
