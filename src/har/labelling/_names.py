"""Words that the page, the store and the lake share."""

from __future__ import annotations

from har.log_lines import LETTERS

LABELLER = rf"^[A-Za-z0-9{LETTERS}][A-Za-z0-9._{LETTERS} -]{{0,31}}$"
"""What a labeller may be called. No comma: `har.log_lines.is_authenticated` looks for one in a label's source."""
LABELLER_RULE = "letters, digits, blanks, '.', '_' and '-', at most 32, a letter or digit first"
"""`LABELLER`, in words."""

UNUSABLE, UNSURE = "unusable", "unsure"
VERDICTS = ("label", UNUSABLE, UNSURE)
"""What a person can say about a window: its activity, that nobody could tell from this signal, or that they cannot."""

PAGE_ID = "page-"
"""How the `feedback_id` of a label from the page begins."""
REVIEWER = "/label: "
"""How `reviewed_by` begins where the page decided what a label counts for; a person's own review begins otherwise."""
