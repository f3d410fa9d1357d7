"""Put measured scores into weights.json, so that none is typed by hand.

    drcnet eval --reproduce --data-root DATA --json > scores.jsonl
    python benchmarks/record_scores.py scores.jsonl

Each checkpoint that was measured gets all its scores anew. A file that is not the manifest's
(another sha256) is refused.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

MANIFEST = Path(__file__).parents[1] / "weights.json"
CHANNELS = {"rgb": "PSNR RGB", "y": "PSNR Y", "y8": "PSNR Y rounded"}


def score(record: dict[str, Any]) -> dict[str, Any]:
    """Give one entry of the manifest."""
    means, name = record["means"], record["setting"]["checkpoint"]
    count, expected = len(record["images"]), record["expected"]
    part = "" if count == expected else f" ({count} pictures)"
    return {
        "dataset": record["title"] + part,
        "metric": CHANNELS[record["protocol"]["psnr_channel"]],
        "value": round(means["psnr"], 2),
        "input_value": round(means["input_psnr"], 2),
        "command": f"drcnet eval --dataset {record['benchmark']} --data-root DATA --model {name}",
    }


def main() -> None:
    """Read, check, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("records", type=Path)
    options = parser.parse_args()
    records = [json.loads(line) for line in options.records.read_text().splitlines()]
    manifest = json.loads(MANIFEST.read_text())
    checkpoints = {entry["name"]: entry for entry in manifest["checkpoints"]}
    measured: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        setting = record["setting"]
        if checkpoints[setting["checkpoint"]]["sha256"] != setting["sha256"]:
            sys.exit(f"{setting['checkpoint']} is not the manifest's file")
        measured.setdefault(setting["checkpoint"], []).append(score(record))
    for name, scores in measured.items():
        checkpoints[name]["scores"] = scores
    MANIFEST.write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
