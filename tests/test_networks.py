"""Every network that a chapter defines is in the registry, or excluded with a reason."""
import ast

import numpy as onp
import pytest

from chapters.sections import all_sections
from ci import networks, slices
from ci.networks import EXCLUDED, NETWORKS

CONTAINERS = {'Sequential', 'HybridSequential'}
BASES = CONTAINERS | {'Block', 'HybridBlock', 'Encoder', 'Decoder'}
INPUTS = {'X', 'x', 'inputs', 'center'}


def last_name(node):
    return getattr(node, 'attr', getattr(node, 'id', ''))


def definitions(section):
    """(name, node) of each Block, Sequential and function of an input that a section defines."""
    for top in slices.statements(section.listings):
        for node in ast.walk(top):
            if isinstance(node, ast.ClassDef) and BASES & set(map(last_name, node.bases)):
                yield node.name, node
            elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) \
                    and last_name(node.value.func) in CONTAINERS:
                yield last_name(node.targets[0]), node
        if isinstance(top, ast.FunctionDef) and top.args.args and top.args.args[0].arg in INPUTS:
            yield top.name, top


def covered(section, node):
    return any(taken.listing == node.listing and taken.lineno <= node.lineno <= taken.end_lineno
               for network in NETWORKS if network.section == section.number
               for taken in network.nodes)


DEFINED = [(section, name, node) for section in all_sections()
           for name, node in definitions(section)]


@pytest.mark.parametrize('section, name, node', DEFINED,
                         ids=[f'{s.number}-{name}-{node.listing}' for s, name, node in DEFINED])
def test_network_is_registered_or_excluded(section, name, node):
    assert covered(section, node) != ((section.number, name) in EXCLUDED)


def test_exclusions_exist_and_have_reasons():
    assert set(EXCLUDED) <= {(section.number, name) for section, name, _ in DEFINED}
    assert all(EXCLUDED.values())


def test_numbers_do_not_depend_on_what_ran_before():
    """Names, parameters and inputs are the same in every build."""
    network = next(network for network in NETWORKS if network.name == 'layers_my_sequential')
    first, second = [{name: param.data().asnumpy() for name, param
                      in networks.structural(network.filled()[0]).items()} for _ in range(2)]
    assert list(first) == list(second)
    assert all(onp.array_equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize('network', NETWORKS, ids=lambda network: network.name)
def test_only_what_defines_the_network_runs(network):
    """No row of the registry loads data, trains or plots."""
    called = {last_name(node.func) for statement in network.nodes for node in ast.walk(statement)
              if isinstance(node, ast.Call)
              and not isinstance(statement, (ast.FunctionDef, ast.ClassDef))}
    assert not any(name.startswith(('load_data', 'train', 'download', 'plot')) for name in called)
