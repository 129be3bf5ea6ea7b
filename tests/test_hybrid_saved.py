"""Attacks on the files of an export: killed processes, full disks, flipped bits, hostile graphs."""
import collections
import json
import os
import pathlib
import random
import re
import struct
import threading

import numpy as onp
import pytest
from mxnet import np, npx
from mxnet.gluon import nn

from d2l import files
from d2l.hybrid import export, load_exported, saved
from tests import fuzz_operators
from tests.support import dense_net, randn, ready

npx.set_np()
ALL = 'D2L_TEST_ALL' in os.environ
FLIPS, KILLS, HOSTILE, TRIES = (360, 40, 1300, 60) if ALL else (60, 8, 130, 4)
# operators to sweep: these ended the process before their attributes or lengths were checked; if
# none is named, all are swept
SWEPT = () if ALL else ('Reshape', '_contrib_arange_like', 'take')
ENDS = 'symbol.json', 'signature.json', '0000.params'


@pytest.fixture
def path(tmp_path):
    """An export of a small net."""
    export(ready(dense_net(), randn(4, 6)), str(tmp_path / 'net'), randn(4, 6))
    return tmp_path / 'net'


def file(path, end):
    return path.with_name(f'{path.name}-{end}')


def contents(path):
    return {end: file(path, end).read_bytes() for end in ENDS}


def shift(net, by):
    """Add a number to all parameters."""
    for parameter in net.collect_params().values():
        parameter.set_data(parameter.data() + by)


# ------------------------------------------------------------------ nothing is lost
@pytest.mark.skipif(not hasattr(os, 'fork'), reason='forks')
def test_a_kill_loses_no_export(python, tmp_path):
    done = python('-W', 'ignore', '-m', 'tests.kill_exports', tmp_path, KILLS)
    assert done.stdout.split('\n')[:2] == [
        f'{11 + KILLS} kills, 0 lost an export: []',
        'left: ' + ' '.join(sorted(f'net-{end}' for end in ENDS))], done.stderr


@pytest.mark.parametrize('limit', [100, 1000])
def test_a_full_disk_loses_no_export(limit, path, python):
    before = contents(path)
    done = python('-W', 'ignore', '-c', """if True:
        import resource, sys, d2l
        d2l.npx.set_np()
        net = d2l.nn.Dense(40, in_units=6)
        net.initialize()
        net(d2l.np.ones((4, 6))).wait_to_read()
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
        try:
            d2l.export(net, sys.argv[1], d2l.np.ones((4, 6)))
        except OSError as error:
            sys.stderr.write(f'OSError {error}')""", path, limit)
    assert done.stderr.startswith('OSError'), done.stderr
    assert contents(path) == before and len(list(path.parent.iterdir())) == 3


WRITERS, TURNS = 4, 25


def test_exports_to_one_path_at_once_leave_one_of_them(tmp_path):
    """No writer fails; the files that are there in the end are complete, and of one writer."""
    path, failed = str(tmp_path / 'net'), []

    def write(number):
        try:
            for turn in range(TURNS):
                with files.new_folder(tmp_path) as new:
                    for end in ENDS:
                        pathlib.Path(new, f'net-{end}').write_text(f'{number} {turn}')
                    saved.publish(path, new)
        except Exception as error:
            failed.append(error)
    writers = [threading.Thread(target=write, args=(i,)) for i in range(WRITERS)]
    for step in 'start', 'join':
        for writer in writers:
            getattr(writer, step)()
    assert not failed and sorted(os.listdir(tmp_path)) == sorted(f'net-{end}' for end in ENDS)
    assert len({saved.content(path, end) for end in ENDS}) == 1


@pytest.mark.parametrize('name',
                         ['.new-thesis', '.d2l-new-thesis', '.d2l-new-THESIS_1', '.net.old'])
def test_a_folder_of_the_readers_stays(name, path):
    """Whatever its name is: only what killed processes of d2l left is removed."""
    (path.parent / name).mkdir()
    (path.parent / name / 'all of it').write_text('work')
    export(ready(dense_net(), randn(4, 6)), str(path), randn(4, 6))
    assert (path.parent / name / 'all of it').read_text() == 'work'


@pytest.mark.skipif(not hasattr(os, 'geteuid') or os.geteuid() != 0,
                    reason='needs root, to be another user')
def test_a_pending_export_of_another_user_is_ignored(path, tmp_path, monkeypatch):
    """In /tmp any user can make the folder from which a pending export is completed."""
    X = randn(4, 6)
    wanted = load_exported(str(path))(X).asnumpy()
    (tmp_path / 'theirs').mkdir()
    net = ready(dense_net(), X)
    shift(net, 1)
    export(net, str(tmp_path / 'theirs' / 'net'), X)
    os.rename(tmp_path / 'theirs', saved.pending(str(path)))
    os.chown(saved.pending(str(path)), 12345, 12345)
    assert (load_exported(str(path))(X).asnumpy() == wanted).all()
    with pytest.raises(OSError, match='complete'):
        export(net, str(path), X)
    assert (load_exported(str(path))(X).asnumpy() == wanted).all()
    # the folder is this user's again, and completes the export
    os.chown(saved.pending(str(path)), 0, 0)
    assert (load_exported(str(path))(X).asnumpy() == net(X).asnumpy()).all()


@pytest.mark.parametrize('name', [
    'with space', 'new\nline', 'ünï', 'e\u0301', '-x', '%s', 'a?b=c', 'a:b#c', 'sub/', 'sub/.',
    '..', '', b'bytes'],
    ids=ascii)
def test_an_export_is_where_its_name_says(name, tmp_path, monkeypatch):
    """Its files are name-symbol.json and so on, as with HybridBlock.export; there are no others."""
    (tmp_path / 'here' / 'sub').mkdir(parents=True)
    monkeypatch.chdir(tmp_path / 'here')
    net, X = ready(dense_net(), randn(4, 6)), randn(4, 6)
    export(net, name, X)
    assert (load_exported(name)(X).asnumpy() == net(X).asnumpy()).all()
    found = [path for path in tmp_path.rglob('*') if path.is_file()]
    assert sorted(map(str, found)) == sorted(
        str(tmp_path / 'here' / f'{os.fsdecode(name)}-{end}') for end in ENDS)


def test_several_epochs_of_a_net_are_one_export(tmp_path):
    net, X, wanted = ready(dense_net(), randn(4, 6)), randn(4, 6), {}
    for epoch in 0, 3:
        shift(net, epoch)
        export(net, str(tmp_path / 'net'), X, epoch=epoch)
        wanted[epoch] = net(X).asnumpy()
    for epoch in 0, 3:
        assert (load_exported(str(tmp_path / 'net'), epoch)(X).asnumpy() == wanted[epoch]).all()
    assert (wanted[0] != wanted[3]).any()
    export(lambda X: X @ X.T, str(tmp_path / 'net'), X, epoch=3)
    with pytest.raises(ValueError, match='net-0000.params is damaged, or of another export'):
        load_exported(str(tmp_path / 'net'))


# ------------------------------------------------------------------ nothing wrong is loaded
def test_a_flipped_bit_is_noticed(path):
    """Or it changes nothing, as in the white space of JSON."""
    draw, good, X, silent = random.Random(0), contents(path), randn(4, 6), []
    wanted = load_exported(str(path))(X).asnumpy()
    for _ in range(FLIPS):
        end = draw.choice(ENDS)
        data = bytearray(good[end])
        bit = draw.randrange(8 * len(data))
        data[bit // 8] ^= 1 << bit % 8
        file(path, end).write_bytes(data)
        try:
            if (load_exported(str(path))(X).asnumpy() != wanted).any():
                silent.append((end, bit))
        except ValueError as error:
            assert str(path) in str(error)
        file(path, end).write_bytes(good[end])
    assert not silent


@pytest.mark.parametrize('end', ENDS)
def test_files_of_two_exports_are_not_mixed(end, path, tmp_path):
    other = tmp_path / 'other'
    net = ready(nn.Dense(3), randn(4, 6))
    export(net, str(other), randn(4, 6))
    file(path, end).write_bytes(file(other, end).read_bytes())
    with pytest.raises(ValueError, match='damaged'):
        load_exported(str(path))


def forge(path, **changes):
    """Change a signature, and the hashes in it, as an attacker who knows the format would."""
    signature = json.loads(file(path, 'signature.json').read_bytes())
    signature.update(changes, symbol=saved.sha256(file(path, 'symbol.json').read_bytes()),
                     params={'0000': saved.sha256(file(path, '0000.params').read_bytes())})
    signature['fingerprint'] = saved.fingerprint(signature)
    file(path, 'signature.json').write_text(json.dumps(signature))


def convolution(path):
    net = nn.Conv2D(4, 3, groups=2, in_channels=4)
    net.initialize()
    export(net, str(path), np.ones((1, 4, 5, 5)))
    return json.loads(file(path, 'symbol.json').read_bytes())


def with_attribute(key, value):
    def change(graph):
        graph['nodes'][-1].setdefault('attrs', {})[key] = value
    return change


def add(op, **attrs):
    def change(graph):
        graph['nodes'].append({'op': op, 'name': 'new', 'attrs': attrs, 'inputs': [[0, 0, 0]]})
        graph['heads'] = [[len(graph['nodes']) - 1, 0, 0]]
    return change


HOSTILE_GRAPHS = {  # graphs that ended the process, or hung, when MXNet read them, and similar ones
    'head of no node': lambda g: g.update(heads=[[17, 7, 0]]),
    'head of no result': lambda g: g.update(heads=[[len(g['nodes']) - 1, 50, 0]]),
    'negative head': lambda g: g.update(heads=[[-1, 0, 0]]),
    'no heads': lambda g: g.update(heads=[]),
    'input of no result': lambda g: g['nodes'][-1]['inputs'].__setitem__(0, [0, 50, 0]),
    'input of itself': lambda g: g['nodes'][-1]['inputs'].__setitem__(0,
                                                                      [len(g['nodes']) - 1, 0, 0]),
    'an input too few': lambda g: g['nodes'][-1]['inputs'].pop(),
    'an input too many': lambda g: g['nodes'][-1]['inputs'].append([0, 0, 0]),
    'no groups': with_attribute('num_group', '0'),
    'negative groups': with_attribute('num_group', '-2'),
    'no stride': with_attribute('stride', '(0, 0)'),
    'huge kernel': with_attribute('kernel', '(2147483647, 2147483647)'),
    'kernel of a billion digits': with_attribute('kernel', '(' + '9' * 99 + ',)'),
    'a kernel that is no tuple': with_attribute('kernel', 'None'),
    'an attribute that is a number': with_attribute('num_group', 2),
    'an unknown attribute': with_attribute('nmu_group', '2'),
    'an unknown operator': add('no_such_operator'),
    'an address': add('_Native', info='140000000000', need_top_grad='True'),
    'a split at None': add('_split_v2', indices='None', axis='0', squeeze_axis='False'),
    'a gradient': add('_backward_BatchNorm_v1'),
    'a loop without a graph': add('_foreach', num_args='1'),
    'an update': add('_multi_lamb_update', num_tensors='3'),
    'what resets arrays': add('reset_arrays', num_arrays='1'),
    'a sparse graph': add('_contrib_dgl_csr_neighbor_non_uniform_sample', num_args='1'),
    'a split into a billion': add('SliceChannel', num_outputs='2000000000'),
    'a split into none': add('SliceChannel', num_outputs='0'),
    'nested brackets': lambda g: g['nodes'][-1]['attrs'].update(kernel='(' * 9999),
    'a variable twice': lambda g: g['nodes'].append(g['nodes'][0]),
    'an operator of the name of a variable': lambda g: g['nodes'][-1].update(
        name=g['nodes'][0]['name']),
    # C ends a string at a NUL character, and would read only what comes before it
    'an operator up to a 0': add('_copyto\0'),
    "one of the user's by another name": add('_npi_Custom', op_type='any'),
    'a copy by another name': add('_npi_copyto'),
    "one of the user's up to a 0": add('Custom\0x', op_type='any'),
    'an attribute up to a 0': with_attribute('kernel\0', '(3, 3)'),
    'a value up to a 0': with_attribute('layout', 'NCHW\0'),
    'a name up to a 0': lambda g: g['nodes'][-1].update(name='conv\0'),
    'half a character': lambda g: g['nodes'][-1].update(name='\ud800'),
}


@pytest.mark.parametrize('name', HOSTILE_GRAPHS)
def test_a_hostile_graph_is_refused(name, tmp_path):
    graph = convolution(tmp_path / 'net')
    HOSTILE_GRAPHS[name](graph)
    file(tmp_path / 'net', 'symbol.json').write_text(json.dumps(graph))
    forge(tmp_path / 'net')
    with pytest.raises(ValueError, match=f'{re.escape(str(tmp_path))}/net-symbol.json is damaged'):
        load_exported(str(tmp_path / 'net'))


@pytest.mark.parametrize('changes', [
    {'inputs': {}}, {'inputs': {'data0': [4, 2 ** 40]}}, {'inputs': []},
    {'inputs': {'data0': None}},
    {'used': []}, {'used': ['data1']}, {'used': 'data0'}, {'used': ['data0', 'data0']},
    {'result': {'output': 1}}, {'result': {'output': 'x'}}, {'result': None}, {'result': []},
    {'result': [{'output': 0}, {'output': 0}]}, {'result': {'dict': [[[], {'output': 0}]]}},
    {'constants': ['no']}, {'constants': None}, {'predict_only': 0}, {'example': [[4, 5]]},
    {'example': None}, {'example': [[-1, 6]]}, {'more': 1},
], ids=str)
def test_a_hostile_signature_is_refused(changes, path):
    forge(path, **changes)
    with pytest.raises(ValueError, match='is damaged'):
        load_exported(str(path))


def test_hostile_exports_by_chance(python, tmp_path):
    """Graphs, signatures and parameters with random changes: each loads or is refused."""
    done = python('-W', 'ignore', '-m', 'tests.fuzz_exports', tmp_path, 0, HOSTILE)
    said = done.stdout.split('\n')
    counts = {word: sum(line.startswith(word) for line in said)
              for word in ('try', 'ok', 'refused', 'RAW')}
    assert done.returncode == 0 and counts['try'] == HOSTILE and not counts['RAW'], (
        done.stderr, said[-3:], [line for line in said if line.startswith('RAW')])
    assert counts['refused'] > HOSTILE / 2 and counts['ok']


@pytest.mark.parametrize('end', ENDS)
def test_what_is_no_file(end, path):
    file(path, end).unlink()
    file(path, end).mkdir()
    with pytest.raises(ValueError, match=f'net-{end} cannot be read'):
        load_exported(str(path))


def test_an_export_of_an_older_version_is_loaded_with_a_warning(path):
    wanted = load_exported(str(path))(randn(4, 6)).asnumpy()
    signature = json.loads(file(path, 'signature.json').read_bytes())
    file(path, 'signature.json').write_text(
        json.dumps({key: signature[key] for key in saved.KEYS}))
    with pytest.warns(UserWarning, match='before exports had checksums'):
        loaded = load_exported(str(path))
    assert onp.array_equal(loaded(randn(4, 6)).asnumpy(), wanted)


def test_hostile_operators_by_chance(python, tmp_path):
    """Each operator that load_exported accepts, alone in a graph: none ends the process."""
    first, deaths, raw, counts = 0, [], [], collections.Counter()
    while True:
        done = python('-W', 'ignore', '-m', 'tests.fuzz_operators', tmp_path, 0, TRIES, first)
        said = done.stdout.split('\n')
        counts.update(line.partition(' ')[0] for line in said)
        raw += [f'{case}: {line}' for case, line in zip(said, said[1:]) if line.startswith('RAW')]
        if done.returncode == 0:
            break
        tried = [line for line in said if line.startswith('try ')]
        assert done.returncode != 1 and tried, done.stderr      # 1: the fuzzer itself is wrong
        deaths.append((done.returncode, tried[-1]))
        first = int(tried[-1].split()[1]) + 1
    assert not deaths and not counts['RAW'], (deaths, raw)
    assert counts['try'] > 800 * TRIES and counts['ok'] > counts['try'] / 4


HOSTILE_OPERATORS = {       # operator: attributes, for inputs of shapes (4, 6) and (6, 4)
    '_npi_tensordot': [{'a_axes_summed': a, 'b_axes_summed': b} for a, b in (
        ('(2,)', '(0,)'), ('(1,)', '(-3,)'), ('(1, 1)', '(0, 0)'), ('(1,)', '()'), ('(1,)', '(1,)'),
        ('()', '(-1, 7, 5)'), ('(0, 2147483647)', '(0, 1)'))],
    '_npi_tensordot_int_axes': [{'axes': n} for n in ('-1', '3', '2', '2147483647')],
    '_npi_hsplit': [{'indices': '()'}, {'indices': '[]', 'sections': '-1'}],
    '_npi_dsplit': [{'indices': '()', 'sections': '0'}],
    'batch_take': [{}], '_npx_softmax': [{'use_length': 'None'}],
}


@pytest.mark.parametrize('free', [False, True])
@pytest.mark.parametrize('op, attrs', [(op, attrs) for op in HOSTILE_OPERATORS
                                       for attrs in HOSTILE_OPERATORS[op]], ids=str)
def test_a_hostile_operator_is_refused(op, attrs, free, tmp_path):
    """These operators ended the process as soon as their shapes were inferred. free: the signature
    is that of an export of 2026-10, which leaves the first dimension open."""
    shapes = [(4, 0), (4, 0)] if op == 'batch_take' else [(4, 6), (6, 4)]
    shapes = shapes[:1 if op.endswith(('split', 'softmax')) else 2]
    fuzz_operators.write(tmp_path / 'net', op, attrs, shapes, ['float32'] * 2, 0)
    if free:
        signature = json.loads(file(tmp_path / 'net', 'signature.json').read_bytes())
        signature['inputs'] = {name: [-1, *shape[1:]]
                               for name, shape in signature['inputs'].items()}
        file(tmp_path / 'net', 'signature.json').write_text(
            json.dumps({key: signature[key] for key in saved.KEYS}))
    with pytest.raises(ValueError, match='net-symbol.json is damaged'):
        load_exported(str(tmp_path / 'net'))


IMAGES, LAYERS = (1, 1, 5, 5), [(1, 18, 3, 3), (1, 9, 3, 3), (1, 1, 3, 3), (1,)]


@pytest.mark.parametrize('op, attrs, shapes', [
    *[('Reshape', {'shape': shape}, [(2, 3)])
      for shape in ('(-4, 0, -1)', '(-4, -1, 0)', '(2, 2)', '(0, 2)')],
    ('Reshape', {'target_shape': '(3, 3)'}, [(2, 3)]),
    *[('_npx_reshape', {'newshape': shape}, [(2, 3)]) for shape in ('(-6, 0, -1)', '(-6, -1, 0)')],
    ('_contrib_DeformableConvolution',
     {'kernel': '(3, 3)', 'num_filter': '1', 'num_deformable_group': '0'},
     [IMAGES, *LAYERS[:1], *LAYERS[2:]]),
    ('_contrib_ModulatedDeformableConvolution',
     {'kernel': '(3, 3)', 'num_filter': '1', 'num_deformable_group': '0'}, [IMAGES, *LAYERS]),
    ('Convolution', {'kernel': '(2, 3)', 'num_filter': '1', 'dilate': '(1, 2147483647)'},
     [(1, 4, 6, 6), (1, 4, 2, 3), (1,)]),
    ('_contrib_arange_like', {'repeat': '0'}, [(2, 3)]),
    *[(f'_contrib_interleaved_matmul_{what}', {'heads': '0'}, shapes) for what, shapes in (
        ('encdec_qk', [(2, 3, 4), (2, 3, 8)]), ('selfatt_qk', [(2, 3, 12)]),
        ('selfatt_valatt', [(2, 3, 12), (3, 2, 2)]))],
    *[(op, {'mode': mode, 'axis': '0'}, [(0, 3), (3,)]) for op in ('take', 'pick')
      for mode in ('clip', 'wrap')],
    *[('_unravel_index', {'shape': shape}, [at])
      for shape, at in (('(0, 0)', (3,)), ('(-1, -1)', (3,)), ('(2, 3)', (40, 200, 6)))],
    ('_ravel_multi_index', {'shape': '(0, 0)'}, [(2, 3)]),
    ('_sample_multinomial', {}, [(3, 0)]), ('_npi_average', {}, [(0, 4), (0, 4)]),
    ('SequenceLast', {'use_sequence_length': 'True'}, [(0, 2, 6), (2,)]),
    ('_npi_gather_nd', {}, [(4, 0), (2, 4)]),
    ('_npi_dsplit', {'indices': '(1,)', 'sections': '4'}, [(4, 2, 6)]),
    ('_image_resize', {'size': '(3, 3)', 'interp': '-1'}, [(4, 4, 3)]),
    ('UpSampling', {'scale': '2', 'sample_type': 'bilinear', 'num_args': '2'},
     [(2, 4, 4, 4), (4, 1, 4, 4)]),
    ('_contrib_box_nms', {'coord_start': '2147483647'}, [(1, 4, 6)]),
    ('_np_moveaxis', {'source': '(-6, 3)', 'destination': '(3, 2)'}, [(1, 2, 4, 4, 4)]),
    ('Correlation', {'pad_size': '2147483647'}, [(1, 4, 6, 6)] * 2),
    ('_contrib_quantize_asym', {}, [(4,)]), ('_contrib_index_copy', {}, [(1, 4), (1,), (1, 4)]),
    # MXNet reads as many values from the other inputs as the first has channels
    ('BatchNorm', {}, [(2, 4, 3, 3), (4,), (1,), (4,), (4,)]),
    ('Softmax', {'multi_output': 'True'}, [(2, 0, 3), (2, 3)]),
    ('SoftmaxOutput', {'multi_output': 'True'}, [(2, 0, 3), (2, 3)]),
    ('UpSampling', {'scale': '2', 'sample_type': 'nearest', 'num_args': '3'}, [(1, 2, 1, 0)] * 3),
    ('_image_resize', {'size': '(3,)', 'keep_ratio': 'True'}, [(0, 1, 8)]),
    ('_npx__image_resize', {'size': '(3,)', 'keep_ratio': 'True'}, [(4, 0, 3)])])
def test_an_operator_that_ends_the_process_is_refused(op, attrs, shapes, tmp_path):
    dtype = 'uint8' if 'resize' in op else 'float32'
    fuzz_operators.write(tmp_path / 'net', op, attrs, shapes, [dtype] * len(shapes), 0)
    with pytest.raises(ValueError, match='net-symbol.json is damaged'):
        load_exported(str(tmp_path / 'net'))


def test_the_shapes_of_a_call_are_checked(tmp_path):
    """Where an export takes any length, a call may give one that ends the process."""
    path, X = str(tmp_path / 'net'), randn(4, 6)
    export(lambda X: npx.pick(X, np.zeros(6), axis=0), path, X, other=randn(5, 6))
    loaded = load_exported(path)
    assert (loaded(X) == X[0]).all()
    with pytest.raises(ValueError, match=r'net-symbol.json.*pick.*no length may be 0'):
        loaded(np.zeros((0, 6)))
    export(lambda X: np.tanh(X @ np.ones((6, 2))).reshape(-1, 2), path, X, other=randn(5, 6))
    assert load_exported(path)(np.zeros((0, 6))).shape == (0, 2)


def with_params(path, arrays):
    """Write the parameters [(name, shape, values)] into an export, with hashes that match."""
    data = struct.pack('<QQQ', saved.LIST_MAGIC, saved.RESERVED, len(arrays))
    for _, shape, values in arrays:
        data += struct.pack(f'<Iii{len(shape)}qiii', saved.VERSIONS[1], saved.DENSE, len(shape),
                            *shape, 1, 0, 0) + values
    data += struct.pack('<Q', len(arrays))
    for name, _, _ in arrays:
        data += struct.pack('<Q', len(name)) + name.encode()
    file(path, '0000.params').write_bytes(data)
    forge(path)


def test_one_parameter_is_there_once(path):
    """Names with the prefixes arg: and aux: are one parameter, and the last one would win."""
    arrays = [(name, array.shape, array.tobytes()) for name, array in saved.read_params(
        file(path, '0000.params').read_bytes(), 'net').items()]
    with_params(path, arrays)
    load_exported(str(path))
    name, shape, values = arrays[0]
    with_params(path, [*arrays, (name.replace('arg:', 'aux:'), shape, bytes(len(values)))])
    with pytest.raises(ValueError, match='net-0000.params is damaged: .*aux.* for one parameter'):
        load_exported(str(path))


@pytest.mark.parametrize('shape', [(2 ** 31, 2 ** 31, 0), (2 ** 62, 2 ** 62, 2 ** 62, 0),
                                   (2 ** 31 - 1, 0, 2 ** 31 - 1, 2 ** 31 - 1)], ids=str)
def test_an_empty_array_is_not_huge(shape, path):
    with_params(path, [('arg:weight', shape, b'')])
    with pytest.raises(ValueError, match='net-0000.params is damaged'):
        load_exported(str(path))


def test_no_operator_that_is_let_in_ends_the_process(python, tmp_path):
    done = python('-W', 'ignore', '-m', 'tests.sweep_operators', tmp_path, *SWEPT)
    computed, refused = map(int, re.fullmatch(
        r'(\d+) computed, (\d+) refused\n', done.stdout).groups())
    assert computed > 10 and refused > 40, done.stderr


def test_products_over_axes_are_loaded(tmp_path):
    def forward(X, Y):
        return [np.tensordot(X, Y, axes=axes) for axes in (1, 0, ([-1], [0]), ([0, 1], [1, 0]))]
    X, Y = randn(4, 6), randn(6, 4)
    export(forward, str(tmp_path / 'net'), X, Y, other=(randn(5, 6), randn(6, 5)))
    for found, wanted in zip(load_exported(str(tmp_path / 'net'))(X, Y), forward(X, Y)):
        assert onp.array_equal(found.asnumpy(), wanted.asnumpy())


@pytest.mark.parametrize('text, fits', [('int64', True), ('float32', True), ('int65', False),
                                        ('__import__("os")', False), ('None', True)])
def test_an_undeclared_dtype_of_an_operator_has_to_be_one(text, fits):
    """Gluon-CV's CenterNet calls zeros_like(x, dtype='int64'), which MXNet does not declare."""
    assert saved._fits('dtype', '', text) == fits
