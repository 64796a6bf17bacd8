"""Whether the messages of a partition are in order.

The rule, for the changes of one partition in the order of their offsets:

- exactly once: each position is there once, and positions ascend;
- at least once: a *run* is some changes one after another, with no other change of the partition between two of them.
  The partition is one run after another, each beginning at or before the end of the one before, and the last run ends
  with the newest change of all. So whoever drops what repeats sees ascending positions; an older change comes after a
  newer one only in a run that leads up to the newer one again; and the last value of each key is the source's.

A tombstone has the position of the change that it belongs to.
"""

from changes import differ


def in_order(where, positions, exactly_once):
    """Checks the rule above; positions with whether they are of a tombstone."""
    distinct = sorted({at for at, _ in positions})
    number = {at: number for number, at in enumerate(distinct)}
    for (before, was_tombstone), (at, is_tombstone) in zip(positions, positions[1:]):
        step = number[at] - number[before]
        if exactly_once and (step < 0 or step == 0 and was_tombstone == is_tombstone):
            differ(f"{where}: {at} came after {before}, exactly once")
        if step > 1:
            differ(f"{where}: {at} came after {before}, before {distinct[number[before] + 1]}")
    if positions and positions[-1][0] != distinct[-1]:
        differ(f"{where}: ends with {positions[-1][0]}, and {distinct[-1]} is newer")
