"""Records of the plugin. Light: no torch."""

from edframe.plugin import Component, ComponentConfig, hookimpl


class LpConfig(ComponentConfig):
    """The losses ``l1`` and ``l2`` have no options."""


@hookimpl
def edframe_losses() -> list[Component]:
    """The losses ``l1`` and ``l2``."""
    return [
        Component(
            kind="loss",
            name="l1",
            summary="absolute error per electron: the fraction of the electrons that is misplaced (NMAE)",
            config=LpConfig,
            factory="edframe_lp.loss:L1Loss",
            api=1,
        ),
        Component(
            kind="loss",
            name="l2",
            summary="squared error per electron",
            config=LpConfig,
            factory="edframe_lp.loss:L2Loss",
            api=1,
        ),
    ]
