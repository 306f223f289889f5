"""Answer copier's questions many times in one process; runs with the Python of copier's own environment.

    python _questions.py TEMPLATE FOLDER

Reads a JSON list of answers from stdin, and writes a JSON list with copier's message for each to stdout. The message is
empty if copier accepts the answers.
"""

from __future__ import annotations

import json
import sys

from copier import run_copy
from copier.errors import CopierError


def main() -> None:
    """Copy with each set of answers and the defaults, and collect the messages."""
    template, folder = sys.argv[1:]
    messages = []
    for number, answers in enumerate(json.load(sys.stdin)):
        try:
            run_copy(template, f"{folder}/{number}", data=answers, defaults=True, quiet=True)
        except (ValueError, CopierError) as error:
            messages.append(str(error))
        else:
            messages.append("")
    json.dump(messages, sys.stdout)


if __name__ == "__main__":
    main()
