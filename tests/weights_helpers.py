"""Made-up checkpoints with a manifest of their own, and `drcnet weights` run with it."""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from drcnet_cli.weights.manifest import Manifest, load_manifest

ROOT = Path(__file__).parents[1]

# huggingface_hub reads its environment when it is imported: only a new process sees a new one.
_SCRIPT = """
import sys
from pathlib import Path
from drcnet_cli.weights import manifest
from drcnet_cli.weights import store as files
manifest.PACKAGED_MANIFEST = Path(sys.argv.pop(1))
files.BUNDLED_DIR = Path(sys.argv.pop(1))
from drcnet_cli.cli import weights
from drcnet_cli.cli import _output as output
from drcnet_cli.errors import DrcnetError
try:
    weights.app(prog_name="drcnet weights")
except DrcnetError as error:
    output.fail(error)
"""


def content(seed: str, size: int = 300_000) -> bytes:
    """Return bytes that look random and depend on the seed alone."""
    block = hashlib.sha512(seed.encode()).digest()
    return b"".join(
        hashlib.sha512(block + i.to_bytes(4, "big")).digest() for i in range(size // 64 + 1)
    )[:size]


def entry(name: str, data: bytes, **changes) -> dict:
    """Return a manifest entry that describes `data`."""
    own = json.loads((ROOT / "weights.json").read_text(encoding="utf-8"))["checkpoints"][0]
    return own | {
        "name": name,
        "file": f"{name}.safetensors",
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "bundled": False,
        "hub": None,
        **changes,
    }


@dataclass
class Shelf:
    """A folder with a manifest, a cache and a bundled folder."""

    root: Path

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def bundled(self) -> Path:
        return self.root / "bundled"

    @property
    def manifest_path(self) -> Path:
        return self.root / "weights.json"

    def write(self, *entries: dict) -> Manifest:
        """Write the manifest and give it as it loads."""
        document = {"schema_version": 1, "checkpoints": list(entries)}
        self.manifest_path.write_text(json.dumps(document), encoding="utf-8")
        return load_manifest(self.manifest_path)

    def start(self, *arguments: str, endpoint: str, **environment: str) -> subprocess.Popen:
        """Start `drcnet weights ARGUMENTS...` against a hub."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "DRCNET_"))}
        command = [sys.executable, "-c", _SCRIPT, str(self.manifest_path), str(self.bundled)]
        return subprocess.Popen(
            [*command, *arguments],
            env=kept
            | {
                "HF_ENDPOINT": endpoint,
                "HF_HOME": str(self.root / "hf_home"),
                "HF_HUB_DISABLE_XET": "1",
                "HF_HUB_DISABLE_TELEMETRY": "1",
                "HF_HUB_DISABLE_UPDATE_CHECK": "1",
                "DRCNET_CACHE": str(self.cache),
                "NO_PROXY": "127.0.0.1",
                "PYTHONPATH": str(ROOT),
            }
            | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )

    def run(self, *arguments: str, endpoint: str, **environment: str) -> "Result":
        """Run `drcnet weights ARGUMENTS...` to its end."""
        return finish(self.start(*arguments, endpoint=endpoint, **environment))

    def cached_files(self) -> list[str]:
        """Return the names of all that would be used or resumed: locks aside, and only files."""
        found = [path for path in self.cache.rglob("*") if path.is_file()]
        return sorted(path.name for path in found if path.suffix != ".lock")


@dataclass(frozen=True)
class Result:
    """How a process ended."""

    code: int
    out: str
    err: str


def finish(process: subprocess.Popen) -> Result:
    """Wait for a process, a minute at most."""
    out, err = process.communicate(timeout=60)
    return Result(process.returncode, out, err)
