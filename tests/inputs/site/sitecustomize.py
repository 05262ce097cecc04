"""Plugs the modality of vectors into every Python process whose PYTHONPATH has this folder and the folder of the tests."""

import pytest

from inputs.vectors import plug_in

plug_in(pytest.MonkeyPatch())
