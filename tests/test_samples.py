"""The stand-ins of the applications are in the real formats and hold what is to be learnt."""
import io
import re
import zipfile

import cv2
import numpy as np
import pytest

from d2l.data import samples
from d2l.data.samples import pokemon


@pytest.fixture(autouse=True)
def _whole(monkeypatch):
    monkeypatch.delenv('D2L_SAMPLE_SIZE', raising=False)


def members(name):
    """The files of an archive, path -> bytes."""
    with zipfile.ZipFile(io.BytesIO(samples.make(name))) as archive:
        return {path: archive.read(path) for path in archive.namelist()}


@pytest.mark.parametrize('size, monsters', [(None, 150), (60, 60), (200, 150)])
def test_monsters_are_images_in_folders(monkeypatch, size, monsters):
    if size:
        monkeypatch.setenv('D2L_SAMPLE_SIZE', str(size))
    files = members('pokemon.zip')
    assert len(files) == (size or pokemon.IMAGES)
    assert all(re.fullmatch(r'pokemon/[a-z]+/\d+\.png', path) for path in files)
    assert len({path.split('/')[1] for path in files}) == monsters
    for data in list(files.values())[::97]:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert image.shape == (80, 80, 3)
        assert (image[0, 0] == 255).all() and (image != 255).any()
