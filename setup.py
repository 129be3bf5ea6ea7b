"""What the package needs code for; all else is in pyproject.toml.

For a checkout use the Makefile; constraints.txt holds every exact version.
"""
import pathlib
import runpy

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = pathlib.Path(__file__).parent
HOOK = runpy.run_path(str(HERE / 'd2l_finder.py'))['HOOK']
MXNET = runpy.run_path(str(HERE / 'd2l_mxnet.py'))


class BuildPy(build_py):
    """Also writes d2l_finder.pth, with the line that Python runs when it starts."""

    def run(self):
        super().run()
        # an editable install copies nothing but what lies in the root of its wheel
        root = self.get_finalized_command('install').install_lib if self.editable_mode \
            else self.build_lib
        pathlib.Path(root, 'd2l_finder.pth').write_text(HOOK + '\n')


setup(
    version=MXNET['VERSION'],
    python_requires='>={}.{}, <{}.{}'.format(*MXNET['PYTHON'][0], *MXNET['PYTHON'][1]),
    packages=[*find_packages(include=['d2l', 'd2l.*', 'd2l_group']), 'd2l_chapters'],
    package_dir={'d2l_chapters': 'chapters'},       # `chapters` would be anybody's name
    package_data={'d2l': ['py.typed'],
                  'd2l.data.samples': ['*.npz'],
                  'd2l_chapters': ['quick.toml', 'times.json', 'ch*/s*.py', 'img/*.jpg']},
    py_modules=['d2l_arm', 'd2l_compat', 'd2l_cuda', 'd2l_finder', 'd2l_mxnet', 'd2l_standin'],
    cmdclass={'build_py': BuildPy},
    # and MXNet, which `python -m d2l_mxnet` installs: pip finds no NumPy >= 2 for it
    install_requires=[
        *map(MXNET['requirement'], MXNET['VERSIONS']),
        'graphviz',                         # MXNet imports this and requests
        'ipykernel',                        # this and the next three run the chapters
        'jupytext',
        'nbclient',
        'nbconvert',
        'opencv-python>=4.8',
        'pooch>=1.7',
        'requests',
        'tomli; python_version < "3.11"',
        'tqdm>=4.65',
    ],
)
