"""The d2l package. For a checkout use the Makefile; constraints.txt holds every exact version."""
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
    name=MXNET['NAME'],                     # d2l is another package on PyPI
    version=MXNET['VERSION'],
    description='Dive into Deep Learning 0.7.1, living on MXNet 1.9.1',
    long_description=(HERE / 'README.md').read_text(),
    long_description_content_type='text/markdown',
    license='MIT',
    python_requires='>={}.{}, <{}.{}'.format(*MXNET['PYTHON'][0], *MXNET['PYTHON'][1]),
    packages=[*find_packages(include=['d2l', 'd2l.*', 'd2l_group']), 'd2l_chapters'],
    package_dir={'d2l_chapters': 'chapters'},       # `chapters` would be anybody's name
    package_data={'d2l.data.samples': ['*.npz'],
                  'd2l_chapters': ['quick.toml', 'ch*/s*.py', 'img/*.jpg']},
    py_modules=['d2l_compat', 'd2l_cuda', 'd2l_finder', 'd2l_mxnet'],
    cmdclass={'build_py': BuildPy},
    # and MXNet, which `python -m d2l_mxnet` installs: pip finds no NumPy >= 2 for it
    install_requires=[
        *map(MXNET['requirement'], MXNET['VERSIONS']),
        'gluoncv>=0.10.5, <0.11',
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
    entry_points={'console_scripts': ['d2l = d2l_chapters.command:main']},
    extras_require={
        'onnx': ['onnx>=1.16'],
        'dev': ['hypothesis', 'onnx>=1.16',
                'onnxruntime>=1.18', 'pytest<9', 'pytest-timeout', 'pytest-xdist',
                'sphinx'],                      # reads every docstring, as the gallery's does
        # beside which ci.bench times MXNet; there is none for Python 3.9
        'bench': ['torch==2.13.0; python_version >= "3.10"'],
        # a copy button on each listing, cards on the front page
        'gallery': ['furo', 'myst-nb', 'selenium', 'sphinx', 'sphinx-copybutton', 'sphinx-design'],
        'lab': ['jupyterlab>=4'],               # `d2l lab`
    },
)
