"""What public run tables say of a language without runs: make the file that ships.

    python -m tools.public_evidence

Every table is one or more languages of one population of coefficients, fitted together by partial
pooling; the file holds what is then expected of a further language, coefficients as a whole. How
good recipes are that rest on it alone is told by `benchmarks.studies.zero_runs`, which leaves
tables out in turn.
"""

from __future__ import annotations

import datetime
import sys
from pathlib import Path

from benchmarks.support.evidence import evidence_of, read_evidence
from benchmarks.support.script import new_parser, public_tables
from m3jax.files import write_json

TARGET = Path(__file__).resolve().parent.parent / "m3jax" / "data" / "public_evidence.json"


def main() -> int:
    parser = new_parser(__doc__)
    parser.add_argument("--output", type=Path, default=TARGET)
    output = parser.parse_args().output
    folder = public_tables()
    if folder is None:
        return 2
    made = f"made {datetime.date.today().isoformat()} by tools/public_evidence.py"
    write_json(output, evidence_of(read_evidence(folder), made).to_dict())
    return 0


if __name__ == "__main__":
    sys.exit(main())
