"""Which of the versions found a policy asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ctrkit.serving.models.config import All, Latest, Policy


def wanted(policy: Policy, found: Iterable[int], usable: Callable[[int], bool]) -> list[int]:
    """Return the versions to serve, the highest number first.

    `usable` says whether a version could be served; it is asked of as few versions as possible. One that cannot does
    not count for `latest`: the next older one takes its place, so that a restart beside a broken version comes to the
    same as having been there when it arrived.
    """
    ordered = sorted(found, reverse=True)
    if isinstance(policy, Latest):
        chosen: list[int] = []
        for version in ordered:
            if len(chosen) == policy.num_versions:
                break
            if usable(version):
                chosen.append(version)
        return chosen
    return [
        version for version in ordered if (isinstance(policy, All) or version in policy.versions) and usable(version)
    ]
