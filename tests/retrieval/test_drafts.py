from pathlib import Path

import pytest
from style_pack.retrieval.drafts import replacing


def test_two_who_write_the_same_file_at_once_do_not_meet(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    with replacing(target) as one, replacing(target) as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
        assert not target.exists()
    assert target.read_text() == "one"
    assert list(tmp_path.iterdir()) == [target]


def test_an_error_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    target.write_text("before")
    with pytest.raises(ValueError, match="half"), replacing(target) as draft:
        draft.write_text("ha")
        raise ValueError("half")
    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]
