"""`python -m deploy.observability` writes what follows from slo.yaml and the dashboards' specifications.

Its files are committed, since kustomize and operators read them without Python; a test says when one is out of date.
"""

from __future__ import annotations

from pathlib import Path

from deploy.observability.generating import files


def main() -> None:
    """Write what differs, and say what was written."""
    root = Path(__file__).resolve().parents[2]
    for path, content in files().items():
        target = root / path
        if not target.is_file() or target.read_text() != content:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content)
            print(path)


if __name__ == "__main__":
    main()
