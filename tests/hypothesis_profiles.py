"""Number of examples that property tests try. The variable HYPOTHESIS_PROFILE chooses: `fsat` or `nightly`."""

from __future__ import annotations

import os

from hypothesis import settings

__all__ = ["load_profile"]


def load_profile() -> None:
    """Load the profile of this process."""
    # no deadline: the machine may be busy; what an example costs is not what these tests are about
    settings.register_profile("fsat", deadline=None, max_examples=60)
    settings.register_profile("nightly", deadline=None, max_examples=10_000)
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fsat"))
