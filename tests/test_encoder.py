"""The text encoder: unit vectors, the same in any batch."""

import numpy as np
import pytest

from rulekit.encoder import Encoder


def test_encoder_vectors_have_unit_length_and_do_not_depend_on_the_batch(monkeypatch, tmp_path):
    texts = ["A short text.", "Another, " * 40 + "longer one.", "A short text."]
    together = Encoder.load().embed(texts)
    monkeypatch.setenv("RULEKIT_CACHE", str(tmp_path))
    alone = Encoder.load().embed(texts[:1])
    assert np.linalg.norm(together, axis=1) == pytest.approx(1.0, abs=1e-5)
    assert together[0] == pytest.approx(alone[0], abs=1e-5)
    assert (together[0] == together[2]).all()
    with pytest.raises(ValueError, match="text 0 is empty"):
        Encoder.load().embed([" "])
