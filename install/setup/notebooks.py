"""The notebooks a person works on: copies of the checkout's, made once and never overwritten when they were edited."""

import hashlib
import json
import shutil
from pathlib import Path

from places import CHECKOUT

# Remembers what was copied, to tell an edited notebook from one that is merely older than the checkout's.
RECORD = ".copied.json"


def lay_out(folder):
    """Copies new notebooks into `folder`; returns the names of those left alone although the checkout's is newer."""
    source, folder = CHECKOUT / "notebooks", Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    record_file = folder / RECORD
    record = json.loads(record_file.read_text()) if record_file.exists() else {}
    kept = []
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        name = str(file.relative_to(source))
        if any(part.startswith(".") for part in Path(name).parts):
            continue
        target, original = folder / name, digest(file)
        if target.exists() and digest(target) != original:
            if record.get(name) != digest(target):
                # Edited, or run: it is theirs now. Say so once for each new version of ours.
                if record.get(name) != original:
                    kept.append(name)
                    record[name] = original
                continue
        if not target.exists() or digest(target) != original:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
        record[name] = original
    record_file.write_text(json.dumps(record, indent=2))
    return kept


def digest(file):
    return hashlib.sha256(file.read_bytes()).hexdigest()
