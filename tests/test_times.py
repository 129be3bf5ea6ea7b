"""ci.times: sections are run, timed, stopped where they take too long, and their times stored."""
import json
import pathlib
import subprocess
import types
import uuid

import pytest

from chapters import notes
from chapters.sections import find
from ci import times


def marked(mark):
    """The command lines of the processes that have this text in their environment."""
    found = []
    for path in pathlib.Path('/proc').glob('[0-9]*/environ'):
        try:
            if mark.encode() in path.read_bytes():
                found.append(path.with_name('cmdline').read_bytes())
        except OSError:                 # it has ended
            pass
    return found


def test_a_time_is_stored_beside_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr(times, 'TIMES', tmp_path / 'times.json')
    (tmp_path / 'times.json').write_text('{"3.6": {"seconds": null, "limit": 60}}')
    assert times.main(['2.6']) == 0
    stored = json.loads((tmp_path / 'times.json').read_text())
    assert list(stored) == ['2.6', '3.6'] and stored['3.6'] == {'seconds': None, 'limit': 60}
    assert 1 < stored['2.6']['seconds'] < times.LIMIT and 'MXNet' in stored['2.6']['where']
    monkeypatch.setattr(notes, '_times', lambda: stored)
    assert [notes.duration(*find(number)) for number in ('3.6', '2.5')] == [
        'more than 1 minute', '']


@pytest.mark.parametrize('limit', [.3, 8], ids=['as it starts', 'in a cell'])
def test_a_section_that_takes_too_long_is_stopped(limit, monkeypatch):
    """The kernel that it has started is stopped, too."""
    mark = uuid.uuid4().hex
    monkeypatch.setenv('D2L_TEST_MARK', mark)
    monkeypatch.setattr(times, 'LIMIT', limit)
    section, = find('7.1')
    assert times.seconds(section) is None
    assert marked(mark) == []


def test_a_section_that_cannot_run_is_an_error():
    with pytest.raises(subprocess.CalledProcessError):
        times.seconds(types.SimpleNamespace(number='99.9', gpus=0))
