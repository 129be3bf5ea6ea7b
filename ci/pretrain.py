"""Train the stand-in for the pretrained ResNet-18 (13.2, 13.11): `python -m ci.pretrain`, minutes.

A ResNet-18 with an eighth of the channels learns to classify drawn things. Those of the sample data
sets are among them, as hot dogs, cats and cars are among ImageNet's classes. The training pictures
are drawn with random numbers of their own, and each is used once. The parameters are stored in
d2l/data/samples/resnet18_v2.npz. `d2l.data.samples.models` expands them to a file of the full-size
network, so that this file is made quickly and has the same bytes on every machine. Training again
gives other bytes.
"""
import cv2
import mxnet as mx
import numpy as onp
from mxnet import autograd, gluon, np, npx
from mxnet.gluon.model_zoo.vision import resnet
from tqdm import tqdm

import d2l
from d2l.data.samples import hotdog, painter
from d2l.data.samples.models import TRAINED

FOOD = (hotdog.hot_dog, *hotdog.OTHERS)
OTHERS = (painter.cat, painter.dog, painter.horse, painter.deer, painter.bird, painter.frog,
          painter.aeroplane, painter.car, painter.truck, painter.boat, painter.pikachu)
# index of a class -> function that draws it; 713 is the index of hot dogs in 13.2
THINGS = {713: FOOD[0], **dict(enumerate(FOOD[1:] + OTHERS))}
CHANNELS = [8, 8, 16, 32, 64]           # in place of the 64, 64, 128, 256 and 512 of ResNet-18

SEED, STEPS, BATCH, RATE = 18, 1500, 32, 2e-3
SIDE, DRAWN = 160, (80, 240)            # pixels per side of a picture, and while it is drawn
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]        # as 13.2 and 13.11 normalize
DARK, LIGHT = (20, 20, 20), (250, 250, 250)


def picture(dice, draw):
    """Draw a thing at a random position, in random colours and light. Return the picture, (SIDE,
    SIDE, 3) uint8."""
    side = dice.between(*DRAWN)
    c = painter.Canvas(side, side, dice.colour(DARK, LIGHT), dice.colour(DARK, LIGHT))
    c.blots(dice, 8, [dice.colour(DARK, LIGHT) for _ in range(4)])
    width, height = [side * dice.between(35, 110) // 100 for _ in 'xy']
    height = min(max(height, width * 2 // 3), width * 3 // 2)
    # up to a quarter of the thing may be outside of the picture
    at = [dice.between(min(-s // 4, side - s), max(side - 3 * s // 4, 0)) for s in (width, height)]
    c.place((*at, width, height), dice.between(0, 1))
    if draw in FOOD:
        draw(c, dice)
    else:
        draw(c, dice.colour(DARK, LIGHT))
    img = cv2.resize(c.noise(dice, 8).img, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    light = [dice.between(60, 140) for _ in 'rgb']
    return onp.clip(img * onp.array(light) // 100, 0, 255).astype(onp.uint8)


def batch(dice, size=BATCH):
    """Return pictures (size, 3, SIDE, SIDE), normalized, and the indices of their classes."""
    kinds = [dice.between(0, len(THINGS) - 1) for _ in range(size)]
    X = onp.stack([picture(dice, list(THINGS.values())[kind]) for kind in kinds])
    X = ((X / 255 - MEAN) / STD).astype('float32')
    return np.array(X.transpose(0, 3, 1, 2)), np.array(kinds)


def network():
    """Return a ResNet-18 with fewer channels."""
    return resnet.ResNetV2(resnet.BasicBlockV2, [2, 2, 2, 2], CHANNELS, classes=len(THINGS))


def main():
    """Train and store the network, and print its accuracy on new pictures."""
    npx.set_np()
    mx.random.seed(SEED)
    dice, net = painter.Dice(SEED), network()
    net.initialize(mx.init.Xavier())
    net.hybridize()
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    schedule = mx.lr_scheduler.CosineScheduler(STEPS, RATE, 0)
    trainer = gluon.Trainer(net.collect_params(), 'adam', {'lr_scheduler': schedule, 'wd': 1e-4})
    with tqdm(range(STEPS)) as steps:
        for step in steps:
            X, y = batch(dice)
            with autograd.record():
                y_hat = net(X)
                l = loss(y_hat, y)
            l.backward()
            trainer.step(BATCH)
            if step % 50 == 49:
                steps.set_postfix(loss=float(l.mean()), accuracy=d2l.accuracy(y_hat, y) / BATCH)
    X, y = batch(dice, 500)
    print(f'{d2l.accuracy(net(X), y) / 500:.3f} of 500 new pictures')
    onp.savez_compressed(TRAINED, classes=list(THINGS), **{
        name: param.data().asnumpy().astype('float16')
        for name, param in net._collect_params_with_prefix().items()})


if __name__ == '__main__':
    main()
