"""Compares two runs of rung: metrics without times, and checkpoints tensor by tensor.

Used by same-bits.sh.
"""

import json
import pathlib
import sys

# Quantities that have another name now.
RENAMED = {"glance_": "quick_"}

# What says how long something took, or where and when it ran.
TIMES = {"epoch_s", "images_per_s", "unix_s", "seconds", "image_samples_per_s", "checkpoint"}


def lines(path):
    """The objects of a file of JSON lines, without times."""

    def name(key):
        for old, new in RENAMED.items():
            if key.startswith(old):
                return new + key[len(old) :]
        return key

    objects = [json.loads(line) for line in path.read_text().splitlines()]
    return [{name(key): value for key, value in one.items() if key not in TIMES} for one in objects]


def tensors(path):
    """The bytes of each tensor in a safetensors file."""
    data = path.read_bytes()
    header_bytes = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + header_bytes])
    body = data[8 + header_bytes :]
    header.pop("__metadata__", None)
    return {
        name: (one["dtype"], tuple(one["shape"]), body[slice(*one["data_offsets"])])
        for name, one in header.items()
    }


def compare_lines(old, new):
    """What differs between two files of JSON lines.

    A quantity that the new one alone has is no difference.
    """
    old, new = lines(old), lines(new)
    if len(old) != len(new):
        return [f"{len(old)} lines against {len(new)}"]
    return [
        f"line {number}, {key}: {a.get(key)} against {b.get(key)}"
        for number, (a, b) in enumerate(zip(old, new), 1)
        for key in sorted(a)
        if a.get(key) != b.get(key)
    ]


def compare_tensors(old, new):
    """What differs between two checkpoints."""
    old, new = tensors(old), tensors(new)
    missing = [f"{name} is in one alone" for name in sorted(old.keys() ^ new.keys())]
    both = sorted(old.keys() & new.keys())
    return missing + [f"{name} differs" for name in both if old[name] != new[name]]


def main():
    old, new = (pathlib.Path(path) for path in sys.argv[1:3])
    found = {}
    for name in ("metrics.jsonl", "evaluations.jsonl"):
        found[name] = compare_lines(old / name, new / name)
    for path in sorted((old / "checkpoints").glob("*.safetensors")):
        found[path.name] = compare_tensors(path, new / "checkpoints" / path.name)
    different = {name: differences for name, differences in found.items() if differences}
    print(f"{new.name}: {'the same bits in ' + ', '.join(found) if not different else 'DIFFERENT'}")
    for name, differences in different.items():
        for difference in differences[:8]:
            print(f"  {name}: {difference}")
        if len(differences) > 8:
            print(f"  {name}: and {len(differences) - 8} more")
    sys.exit(1 if different else 0)


main()
