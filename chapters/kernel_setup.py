"""Run in the kernel before a section's first cell, with a call of _setup (see execute.py).

Adds to each displayed figure where its curves stand, so that the runner can show progress, and
lets CPU contexts stand for GPUs where the runner says so. The kernel ends .6 seconds sooner, and
without a deadlock of ipykernel. Leaves no name behind.
"""


def _setup(shell, devices):
    import atexit
    import gc

    import d2l_finder

    def end():
        # As ipykernel ends, it closes the thread that publishes output and waits for its control
        # thread, which may still be sending to the former, and would wait for ever. The runner
        # would send SIGTERM 2.5 seconds later.
        control = getattr(shell.kernel.parent, 'control_thread', None)
        if control is not None and control.is_alive():
            control.stop()
            control.join(2)
        gc.freeze()             # else Python looks at every object several times as it ends

    atexit.register(end)        # it runs before ipykernel's own function
    d2l_finder.install()        # as its .pth file does where d2l-mxnet is installed
    if devices:
        import d2l

        d2l.device.stand_in(devices)

    def curves(figure):
        """Last point of each labelled line of the first axes, and where the x axis ends."""
        axes = figure.axes[0] if figure.axes else None
        legend = axes.get_legend() if axes else None
        if legend is None:
            return None
        texts = [text.get_text() for text in legend.get_texts()]
        last = {label: float(line.get_ydata()[-1]) for label, line in zip(texts, axes.lines)
                if len(line.get_ydata())}
        x = max((float(line.get_xdata()[-1]) for line in axes.lines if len(line.get_xdata())),
                default=0)
        return {'x': x, 'end': float(axes.get_xlim()[1]), 'xlabel': axes.get_xlabel(),
                'last': last}

    def bundle(figure, include=None, exclude=None):
        try:
            data = curves(figure)
        except (TypeError, ValueError, IndexError):     # a figure that is no training curve
            data = None
        return {'application/vnd.d2l.curves+json': data} if data else {}

    shell.display_formatter.mimebundle_formatter.for_type_by_name(
        'matplotlib.figure', 'Figure', bundle)
