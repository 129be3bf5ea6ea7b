"""The networks of ci.pytorch compute what the book's do; skipped where PyTorch is missing."""
import dataclasses

import numpy as onp
import pytest
from mxnet import autograd, npx

pytest.importorskip('torch', reason="PyTorch is not installed: pip install '.[bench]'")

from ci import bench, numbers, pytorch  # noqa: E402
from ci.networks import Array, fresh, leaves  # noqa: E402

EXAMPLES = 4
GRADIENTS = 1e-5  # norm of all errors over the norm of all gradients; measured: at most 3e-6
KINKS = 1e-2                # where rounding may switch a ReLU or a maximum; measured: 1e-3
DEEP = 'resnet18', 'tiny_ssd'


def smaller(spec, batch):
    """The same Array for a minibatch of EXAMPLES: its first axis, or the second of a state."""
    if not isinstance(spec, Array):
        return type(spec)(smaller(sub, batch) for sub in spec)
    shape = list(spec.shape)
    axis = 0 if shape[0] % batch == 0 else 1
    shape[axis] = shape[axis] // batch * EXAMPLES
    return dataclasses.replace(spec, shape=tuple(shape), values=spec.values[:EXAMPLES])


@pytest.fixture
def pair(request):
    """(Workload of a minibatch of 4, the Twin, what the Gluon net computes)."""
    npx.set_np()
    workload, = [w for w in bench.WORKLOADS if w.network == request.param]
    small = dataclasses.replace(workload, inputs=smaller(workload.inputs, workload.batch),
                                targets=smaller(workload.targets, workload.batch), changes={})
    if 'given' in workload.changes or 'net' in workload.changes:    # vocabularies of the registry
        high = {'skip_gram': 200, 'text_cnn': 200, 'deepfm': 680}[workload.network]
        small = dataclasses.replace(small, inputs=tuple(
            dataclasses.replace(spec, high=high) for spec in small.inputs))
    arguments, outputs = small.twin()
    return small, pytorch.Twin(*arguments), outputs


every_twin = pytest.mark.parametrize('pair', bench.TWINS, indirect=True)


def test_each_of_the_first_twelve_has_a_twin():
    assert bench.TWINS == list(pytorch.TWINS) and len(bench.TWINS) == 12


@every_twin
def test_outputs_agree(pair):
    _, twin, outputs = pair
    assert twin.check(outputs) <= pytorch.TOLERANCE


@every_twin
def test_another_weight_is_noticed(pair):
    _, twin, outputs = pair
    with pytorch.torch.no_grad():
        list(twin.net.parameters())[-1].add_(0.01)
    with pytest.raises(pytorch.Disagreement, match=f'{twin.name}: PyTorch computes other numbers'):
        twin.check(outputs)


@every_twin
def test_gradients_of_a_training_step_agree(pair):
    small, twin, _ = pair
    net, inputs, targets = small.filled()
    numbers.without_dropout(net)
    for module in twin.net.modules():
        if isinstance(module, pytorch.nn.Dropout):
            module.p = 0
    with autograd.record():
        value = bench.LOSSES[small.loss](list(leaves(net(*fresh(inputs)))), *targets)
    value.backward()
    count = small.batch if value.ndim else 1
    twin.net.train()
    twin.train()
    params = [p for p in dict.fromkeys(net._collect_params_with_prefix().values())
              if not p.name.endswith(('running_mean', 'running_var'))]
    assert len(params) == len(list(twin.net.parameters()))
    trained = [own.requires_grad for own in twin.net.parameters()]
    assert trained == [param.grad_req != 'null' for param in params]
    wanted = [param.grad().asnumpy() / count for param in params if param.grad_req != 'null']
    found = [own.grad.numpy() for own in twin.net.parameters() if own.requires_grad]
    errors = [onp.linalg.norm(a - b) for a, b in zip(found, wanted)]
    assert onp.linalg.norm(errors) <= (KINKS if twin.name in DEEP else GRADIENTS) * onp.linalg.norm(
        [onp.linalg.norm(gradient) for gradient in wanted])


def test_parameters_of_other_shapes_are_refused():
    weights = [onp.zeros((256, 784), 'float32'), onp.zeros(256, 'float32')]
    with pytest.raises(pytorch.Disagreement, match='mlp: parameters of shapes'):
        pytorch.Twin('mlp', weights, (), [onp.zeros(1)], 'softmax', 'sgd', {'learning_rate': 0.1})


def test_the_process_of_ci_bench_times_a_network_and_says_what_went_wrong():
    arguments = ('mlp', None, (onp.zeros((2, 784), 'float32'),), [onp.zeros(2)], 'softmax', 'sgd',
                 {'learning_rate': 0.1})
    with bench.pytorch() as ask:
        ask('Twin', *arguments)
        assert ask('seconds', 'training', 1) > 0 and ask('seconds', 'inference', 1) > 0
        with pytest.raises(RuntimeError, match='mlp: PyTorch computes other numbers than MXNet'):
            ask('check', [onp.ones((2, 10), 'float32')])
        with pytest.raises(RuntimeError, match='KeyError'):
            ask('Twin', 'no such network', *arguments[1:])
