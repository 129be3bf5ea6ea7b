"""The README's pictures of the built gallery: `python -m gallery.pictures`.

Needs `make gallery` and Debian's Chromium. Writes two files into readme/, beside this one.
"""
import shutil
import subprocess
import sys
import tempfile

from PIL import Image

from gallery import cache, pages

FOLDER = cache.HERE / 'readme'
# file -> (page, width and height of the window)
PICTURES = {
    'gallery-lenet.png': ('ch06_convolutional_neural_networks/s06_lenet.html', (1280, 1180)),
    'regression.png': ('regression.html', (1760, 760)),
}
COLORS = 64                             # enough for text and curves, and a third of the bytes
# no calls home (the machine may have no network), and root needs no sandbox
OPTIONS = ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
           '--disable-background-networking', '--disable-component-update', '--disable-sync',
           '--disable-dev-shm-usage', '--hide-scrollbars']


def take(page, path, size):
    """Write what Chromium shows of a page in a window of that size."""
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run([shutil.which('chromium'), *OPTIONS, f'--user-data-dir={profile}',
                        f'--window-size={size[0]},{size[1]}', f'--screenshot={path}',
                        (pages.SITE / page).as_uri()], check=True, capture_output=True)


def main():
    """Write the pictures; return the exit status."""
    if not shutil.which('chromium') or not (pages.SITE / 'index.html').exists():
        print('needs Chromium (apt-get install chromium) and the site (make gallery)',
              file=sys.stderr)
        return 2
    FOLDER.mkdir(exist_ok=True)
    for name, (page, size) in PICTURES.items():
        take(page, FOLDER / name, size)
        picture = Image.open(FOLDER / name).convert('RGB').quantize(COLORS)
        picture.save(FOLDER / name, optimize=True)
        print(f'{name}: {(FOLDER / name).stat().st_size:,} bytes')
    return 0


if __name__ == '__main__':
    sys.exit(main())
