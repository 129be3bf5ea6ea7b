"""The d2l package. For a checkout use the Makefile; constraints.txt holds every exact version."""
import pathlib
import re
import runpy

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = pathlib.Path(__file__).parent
CUDA = runpy.run_path(str(HERE / 'd2l_cuda.py'))


class BuildPy(build_py):
    """Also writes d2l_cuda.pth, with the line that Python runs when it starts."""

    def run(self):
        super().run()
        # an editable install copies nothing but what lies in the root of its wheel
        root = self.get_finalized_command('install').install_lib if self.editable_mode \
            else self.build_lib
        pathlib.Path(root, 'd2l_cuda.pth').write_text(CUDA['HOOK'] + '\n')


setup(
    name='d2l',
    version=re.search(r"__version__ = '(.*)'", (HERE / 'd2l/__init__.py').read_text())[1],
    description='Dive into Deep Learning 0.7.1, living on MXNet 1.9.1',
    long_description=(HERE / 'README.md').read_text(),
    long_description_content_type='text/markdown',
    license='MIT',
    python_requires='>=3.9, <3.12',         # MXNet 1.9.1 needs NumPy < 1.24, which ends at 3.11
    packages=find_packages(include=['d2l', 'd2l.*', 'd2l_group']),
    package_data={'d2l.data.samples': ['*.npz']},
    py_modules=['d2l_cuda'],
    cmdclass={'build_py': BuildPy},
    install_requires=[
        'gluoncv>=0.10.5, <0.11',
        'ipython>=8.12, <8.13',             # 9 dropped display.set_matplotlib_formats
        'matplotlib>=3.7, <3.8',            # 3.8 dropped stem(use_line_collection=)
        'numpy>=1.23.5, <1.24',             # 1.24 dropped numpy.bool, which MXNet reads
        'opencv-python>=4.8, <4.10',        # later builds ask for NumPy 2
        'pandas>=1.5.3, <2',                # 2 dropped positional read_csv(path, sep)
        'pooch>=1.7',
        'pyparsing>=2.3.1, <3.3',           # matplotlib 3.7 uses names that 3.3 deprecates
        'scipy>=1.10, <1.12',               # later ones ask for newer NumPy
        'tqdm>=4.65',
    ],
    # mxnet and mxnet-cu112 own the same folder: install one of them, never both
    extras_require={
        'cpu': ['mxnet==1.9.1'],
        'cu112': CUDA['REQUIREMENTS'],
        'onnx': ['onnx>=1.16, <1.18'],      # 1.17 is one version for all three Pythons
        # pytest 9.2 takes no node ids from pytest-xdist 3.8: its groups would fall apart
        'dev': ['hypothesis', 'ipykernel', 'jupytext', 'nbclient', 'nbconvert', 'onnx>=1.16, <1.18',
                'onnxruntime>=1.18, <1.20',     # the last for Python 3.9
                'pytest<9', 'pytest-timeout', 'pytest-xdist',
                'sphinx',                       # reads every docstring, as the gallery's does
                'tomli; python_version < "3.11"'],
        # beside which ci.bench times MXNet; there is none for Python 3.9
        'bench': ['torch==2.13.0; python_version >= "3.10"'],
        'gallery': ['furo', 'myst-nb', 'selenium', 'sphinx'],
    },
)
